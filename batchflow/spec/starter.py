"""The study that `batchflow init` writes: small, commented, and running as it stands on the local provider."""

from typing import Final

from batchflow.spec.schema import FILE_NAME, schema_text

_EXPERIMENT: Final = """\
# yaml-language-server: $schema=./experiment.schema.json
#
# Try it, nothing leaves this machine:   batchflow run experiment.yaml

version: 1
name: open-answers
description: What is each open answer of a small survey about?

data:
  source: answers.csv            # one request per row; UTF-8, with a header line
  id: respondent                 # the column that names a row for ever

prompt:                          # {{ column }} is filled in from each row
  system: You code open answers of a customer survey.
  user: |
    Answer of a customer of {{ age }} years:

    {{ answer }}

    Which one of these is it mainly about: price, taste, packaging, or something else?
    Reply with one word.

parameters:                      # sent with every request
  model: gpt-4o-mini
  temperature: 0
  max_tokens: 200

provider: local                  # free, offline, answers are SIMULATED
polling: {interval: 0.2s}        # the local provider is fast

# To ask OpenAI instead: set OPENAI_API_KEY in the environment (never in this file), remove the two lines above, and use
# provider: openai
# polling: {interval: 60s}       # results within 24 hours, at half the usual price

output:
  database: results.duckdb       # or: batchflow results experiment.yaml --format csv
"""

_ANSWERS: Final = """\
respondent,age,answer
r-01,34,"It got too expensive, I buy the store brand now."
r-02,51,Tastes like when I was a child. Please never change it!
r-03,27,"The lid leaks, my bag was soaked. Twice."
r-04,45,"Good, but the ""new recipe"" is much too sweet."
r-05,62,My granddaughter chose it because of the bear on the box.
"""


def starter_files() -> dict[str, bytes]:
    """File name -> content, for a folder of its own."""
    return {
        "experiment.yaml": _EXPERIMENT.encode(),
        "answers.csv": _ANSWERS.encode(),
        FILE_NAME: schema_text().encode(),
    }
