"""Reading experiment files: scalars of YAML 1.2, places of faults, odd files, secrets."""

import os
from pathlib import Path

import pytest

from batchflow.errors import SpecError
from batchflow.identity import json_bytes
from batchflow.spec.load import LARGEST_FILE, Spec, load_spec

HEAD = "version: 1\nname: study\ndata: {source: people.csv}\nprompt: {user: Hello}\n"


def load(folder: Path, text: str | bytes) -> Spec:
    path = folder / "experiment.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_spec(path)


def refused(folder: Path, text: str | bytes) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(folder, text)
    return caught.value


def places(error: SpecError) -> list[tuple[int | None, int | None]]:
    return [(fault.line, fault.column) for fault in error.faults]


def test_scalars_follow_yaml_1_2_and_numbers_keep_their_digits(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        HEAD
        + "parameters:\n  {on: yes, zip: 01234, time: 12:30, day: 2024-10-17, a: 1e-3, b: .5, c: 1., d: 1.10, e: +2,\n"
        "   f: -0.0, g: 1_000, h: 0x1F, i: ~, j: True, k: 'true', l: !!str 5, m: 12345678901234567890123, n: -.5e+7}\n",
    )
    assert json_bytes(spec.experiment.parameters).decode() == (
        '{"on":"yes","zip":"01234","time":"12:30","day":"2024-10-17","a":1e-3,"b":0.5,"c":1.0,"d":1.10,"e":2,"f":-0.0,'
        '"g":"1_000","h":"0x1F","i":null,"j":true,"k":"true","l":"5","m":12345678901234567890123,"n":-0.5e+7}'
    )


def test_the_order_of_keys_is_the_authors(tmp_path: Path) -> None:
    spec = load(tmp_path, HEAD + "parameters: {z: 1, a: {y: 1, b: 2}, m: 3}\n")
    assert json_bytes(spec.experiment.parameters) == b'{"z":1,"a":{"y":1,"b":2},"m":3}'


def test_numbers_of_an_inline_template_keep_their_digits(tmp_path: Path) -> None:
    text = HEAD.replace(
        "prompt: {user: Hello}", "template: {model: m, temperature: 1.0, messages: [{content: '{{ A }}'}]}"
    )
    template = load(tmp_path, text).experiment.template
    assert json_bytes(template) == b'{"model":"m","temperature":1.0,"messages":[{"content":"{{ A }}"}]}'


def test_aliases_that_end_are_fine(tmp_path: Path) -> None:
    spec = load(tmp_path, HEAD + "parameters: {a: &x {k: [1]}, b: *x}\n")
    assert spec.experiment.parameters == {"a": {"k": [1]}, "b": {"k": [1]}}


def test_old_line_ends_are_characters_like_any_other(tmp_path: Path) -> None:
    spec = load(tmp_path, HEAD + "description: a\u2028 b\x85c\u2029d\nparameters: {model: 5}\n")
    assert spec.experiment.description == "a\u2028 b\x85c\u2029d"
    assert places(refused(tmp_path, HEAD + "description: a\u2028b\nfoo: 1\n")) == [(6, 1)]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + HEAD.encode(), HEAD.replace("\n", "\r\n").encode()])
def test_byte_order_mark_and_crlf(tmp_path: Path, text: bytes) -> None:
    spec = load(tmp_path, text)
    assert spec.experiment.name == "study"
    assert spec.content == text
    fault = spec.fault(("data", "source"), "cause", "remedy")
    assert (fault.line, fault.column, fault.excerpt) == (3, 16, "data: {source: people.csv}")


def test_faults_of_later_layers_point_into_the_file(tmp_path: Path) -> None:
    spec = load(tmp_path, HEAD + "provider: local\nparameters:\n  tools: [{type: a}, {type: b}]\n")

    def at(*loc: str | int, key: bool = False) -> tuple[int | None, int | None]:
        fault = spec.fault(loc, "cause", "remedy", key=key)
        return fault.line, fault.column

    assert at("data", "source") == (3, 16)
    assert at("data", "source", key=True) == (3, 8)
    assert at("data", "id") == (3, 1)  # absent: the key of its nearest ancestor
    assert at("prompt", "user") == (4, 16)
    assert at("parameters", "tools", 1, "type") == (7, 29)
    assert at("parameters", "tools", 1, key=True) == (7, 22)
    assert at("parameters", "tools", 7) == (7, 10)
    assert at("provider", "name") == (5, 11)  # the short form
    assert at("template") == (1, 1)
    assert at() == (1, 1)
    assert at("output", "database") == (1, 1)
    assert spec.fault((), "cause", "remedy").file == str(tmp_path / "experiment.yaml")


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, HEAD)
    monkeypatch.chdir(tmp_path.parent)
    spec = load_spec(Path(tmp_path.name) / "experiment.yaml")
    assert spec.folder == Path(tmp_path.name)
    assert spec.resolve("people.csv") == Path(tmp_path.name, "people.csv")
    assert spec.resolve("../x/people.csv") == Path(tmp_path.name, "../x/people.csv")
    assert spec.resolve("/data/people.csv") == Path("/data/people.csv")
    monkeypatch.setenv("HOME", "/home/someone")
    assert spec.resolve("~/people.csv") == Path("/home/someone/people.csv")
    assert spec.fault((), "cause", "remedy").file == f"{tmp_path.name}/experiment.yaml"


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    load(tmp_path, HEAD)
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "experiment.yml")
    (fault,) = caught.value.faults
    assert fault.cause == "there is no such file"
    assert fault.remedy == f"did you mean {tmp_path / 'experiment.yaml'}?"
    with pytest.raises(SpecError, match="no such file"):
        load_spec(tmp_path / "nowhere" / "experiment.yaml")


def test_a_folder_names_the_file_in_it(tmp_path: Path) -> None:
    load(tmp_path, HEAD)
    (tmp_path / "other.yaml").write_text("x: 1\n")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path)
    (fault,) = caught.value.faults
    assert "a folder" in fault.cause
    assert fault.remedy == f"name the file in it: {tmp_path / 'experiment.yaml'}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"---\n", "empty"),
        (HEAD.encode("utf-16"), "UTF-16"),
        (HEAD.encode("utf-16-le"), "UTF-16"),
        (b"version: 1\nname: a\0b\n", "U+0000"),
        (b"version: 1\nname: a\x7fb\n", "U+007F"),
        (b"just a text\n", "a single value"),
        (HEAD.encode() + b"---\n" + HEAD.encode(), "second document"),
        (HEAD.encode() + b"parameters: !!python/object:os.system [ls]\n", "the tag !!python/object:os.system"),
        (HEAD.encode() + b"description: !important x\n", "the tag !important"),
        (HEAD.encode() + b"parameters: {a: !!int abc}\n", "the tag !!int"),
        (HEAD.encode() + b"description: *bold* move\n", "cannot begin with `*`"),
        (HEAD.encode() + b"description: *bold\n", "there is no &bold"),
        (HEAD.encode() + b"description: @home\n", "cannot begin with `@`"),
        (HEAD.encode() + b"description: a: b\n", "second `: `"),
        (HEAD.encode() + b'description: "C:\\data"\n', "backslash"),
        (HEAD.encode() + b'description: "\\ud83d\\ude00"\n', "write the character itself"),
        (HEAD.encode() + b"parameters: {a: 1\n", "bracket"),
        (HEAD.encode() + b"parameters: [\n", "bracket"),
        (HEAD.encode() + b"limits\npolling: {}\n", "no `key: value`"),
        (HEAD.encode() + b"limits:\n  a: 1\n b: 2\n", "indentation"),
        (HEAD.encode() + b"%TAG\n", "begins with %"),
        (HEAD.encode() + b"? [a]\n: 1\n", "a key must be a text"),
        (HEAD.encode() + b"null: 1\n", "this one is nothing"),
        (HEAD.encode() + b"parameters: {true: 1}\n", "this one is true or false"),
        (HEAD.encode() + b"base: &b {model: m}\nparameters: {<<: *b}\n", "does not merge"),
        (HEAD.encode() + b"parameters: {a: " + b"[" * 200 + b"]" * 200 + b"}\n", "levels are nested"),
        (HEAD.encode() + b"parameters: {a: " + b"9" * 5000 + b"}\n", "larger than any"),
        (b"#" * (LARGEST_FILE + 1), "larger than"),
    ],
)
def test_odd_files_are_refused_in_plain_words(tmp_path: Path, content: bytes, words: str) -> None:
    error = refused(tmp_path, content)
    assert words in error.text()
    assert all(fault.remedy for fault in error.faults)


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "each use of an alias counted" in refused(tmp_path, HEAD + "parameters:\n  l0: &l0 [1]\n" + levels).text()


def test_many_faults_are_cut_off_and_said_to_be(tmp_path: Path) -> None:
    for lines in ("x{}: 1\n", "name: x{}\n"):
        error = refused(tmp_path, HEAD + "".join(lines.format(number) for number in range(1000)))
        assert len(error.faults) == 50
        assert "only the first 50 faults are shown" in error.text()


def test_a_very_long_line_is_not_shown(tmp_path: Path) -> None:
    (fault,) = refused(tmp_path, HEAD + "foo: " + "a b " * 100_000 + "\n").faults
    assert (fault.line, fault.column, fault.excerpt) == (5, 1, None)


def test_a_fault_of_the_yaml_is_not_said_again_by_the_model(tmp_path: Path) -> None:
    error = refused(tmp_path, HEAD.replace("user: Hello", "user: {{ Name }}") + "foo: 1\n")
    assert places(error) == [(4, 16), (5, 1)]


def test_a_misspelt_key_is_not_also_missing(tmp_path: Path) -> None:
    assert places(refused(tmp_path, "version: 1\nnmae: a\ndata: {source: a.csv}\npromt: {user: x}\n")) == [
        (2, 1),
        (4, 1),
    ]
    assert places(refused(tmp_path, "version: 1\nname: a\ndata: {source: a.csv}\ntemplat: a.json\n")) == [(4, 1)]


SECRET = "sk-proj-Ab1cdefghijklmnopqrstuvwxyz"  # noqa: S105 - made up


@pytest.mark.parametrize(
    "lines",
    [
        f"api_key: {SECRET}\n",
        "api_key: hunter2hunter2\n",
        f"provider: {{name: openai, api_key: {SECRET}}}\n",
        "provider: {name: openai, password: hunter2hunter2}\n",
        "provider: {name: openai, api_key_env: hunter2hunter2}\n",
        "provider: {name: x, base_url: 'https://u:hunter2hunter2@h.org/v1', api_key_env: X_API_KEY}\n",
        f"provider: {SECRET}\n",
        f"parameters: {{model: m, user: {SECRET}}}\n",
        "parameters: {api_key: hunter2hunter2}\n",
        f"description: |\n  my key is\n  {SECRET}\n",
        "description: gsk_from_the_environment\n",
        "parameters: {deep: [{er: gsk_from_the_environment}]}\n",
    ],
)
def test_keys_in_the_file_are_refused_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_from_the_environment")
    error = refused(tmp_path, HEAD + lines)
    everything = error.text() + "".join(f"{fault.cause} {fault.remedy} {fault.excerpt}" for fault in error.faults)
    for secret in (SECRET, SECRET.lower(), "hunter2", "gsk_from"):
        assert secret not in everything
    assert "environment" in everything


def test_words_that_only_look_like_keys_are_texts(tmp_path: Path) -> None:
    text = (
        HEAD + "description: The bearer of this task-force uses sk-learn and sk-estimators; password and token alike.\n"
    )
    assert "sk-estimators" in load(tmp_path, text).experiment.description


def test_blanks_are_told_where_they_are_the_fault(tmp_path: Path) -> None:
    innocent = refused(tmp_path, "prompt:\n  user: |\n    \xa0hi {{ Text }}\n data: {source: h.csv}\n").text()
    assert "U+00A0" not in innocent
    assert "experiment.yaml:4:" in innocent
    assert "U+3000 stands in the indentation" in refused(tmp_path, "prompt:\n\u3000 system: a\n  user: b\n").text()
    assert "U+0020" not in refused(tmp_path, "' name': n\n").text()
    assert "U+" not in refused(tmp_path, '"\\t": 3\n').text()


def test_a_file_that_is_not_there_is_never_meant_to_be_itself(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "people.csv")
    (tmp_path / "peoples.csv").write_text("a\n1\n")
    (tmp_path / "people.cs").mkdir()
    spec = load(tmp_path, HEAD)
    assert spec.missing(("data", "source"), tmp_path / "people.csv").remedy.startswith("did you mean 'peoples.csv'? ")
    (tmp_path / "peoples.csv").unlink()
    assert spec.missing(("data", "source"), tmp_path / "people.csv").remedy.startswith("paths count")
