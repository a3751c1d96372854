"""The endpoints that a batch can be for, by their names: what both a spec and a parser of results need to know."""

from typing import Final, Literal, TypeAlias, get_args

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
EMBEDDINGS: Final = "/v1/embeddings"
MODERATIONS: Final = "/v1/moderations"
COMPLETIONS: Final = "/v1/completions"
IMAGES: Final = "/v1/images/generations"
IMAGE_EDITS: Final = "/v1/images/edits"
VIDEOS: Final = "/v1/videos"

Endpoint: TypeAlias = Literal[
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/completions",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
]
ENDPOINTS: Final[tuple[str, ...]] = get_args(Endpoint)
RAW: Final = frozenset({IMAGES, IMAGE_EDITS, VIDEOS})  # loaded as the body that came; the local provider has none
