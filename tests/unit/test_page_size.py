"""The chat page stays small, speaks two languages in full, and makes nodes of nothing but its own."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from sio_server.gateway.http.comments import strip_comments
from sio_server.protocol.errors import ErrorCode
from sio_server.protocol.events import EntryType
from sio_server.protocol.forms import DECISIONS
from sio_server.protocol.run import RunStatus

WEB = Path(__file__).parents[2] / "web"
PAGE = (WEB / "index.html").read_text()
WORDS = {language: json.loads((WEB / "words" / f"{language}.json").read_text()) for language in ("en", "zh")}
STAGE_WORDS = {
    language: json.loads((WEB / "words" / f"stage.{language}.json").read_text()) for language in ("en", "zh")
}
# What a server may answer a handshake with, and the reasons of `session:ended` (docs/protocol.md).
REFUSALS = {"origin_not_allowed", "host_not_allowed"}
SESSION_ENDS = {"signed_out", "token_expired", "token_revoked"}
# Bytes as they are sent: without comments, each file compressed.
LIMIT = 25_000  # of what is loaded before a person can sign in, or the page connects
LIMIT_OF_VIEWS = 30_500  # with the list and the log, which are loaded while it connects
LIMIT_OF_ALL = 89_000  # what people do with messages and files, reviews and forms of questions are a third of it
LIMIT_OF_SDK = 20_000  # all of it in one file, without socket.io-client
# Of the SDK: what the page does without, since it draws from the objects themselves.
FOR_OTHERS = {"index.js", "all_parts.js", "snapshots.js", "guarded.js", "types.js", "protocol.js"}
FOR_OTHERS |= {"memory.js", "react.js", "ai-sdk.js"}

# Of the page's own modules, not of those of others in vendor/.
STATIC_IMPORT = re.compile(r"""^(?:import|export)\b[^;"']*?["'](\.(?!/?[./]*vendor/)[^"']+)["'];""", re.MULTILINE)
# A module that is fetched later: `name: later("folder/module.js"),`.
LAZY = re.compile(r"""^  (\w+): later\("([\w/]+\.js)"\),""", re.MULTILINE)
# A part of the SDK, in the same way: `name: part("module.js"),`.
PART = re.compile(r"""^  (\w+): part\("([\w/]+\.js)"\),""", re.MULTILINE)
# One that is needed once, where it is needed. The stage's is for its own frames.
ONCE = re.compile(r"""\bawait import\("(\.(?!/stage/)[^"]+)"\)""")
# A value, or the form that goes with a number: "{n|message|messages}".
VALUE = re.compile(r"\{(\w+)(?:\|[^}]*)?\}")
CJK = re.compile(r"[\u4e00-\u9fff]")


def loaded(*start: Path) -> set[Path]:
    """The modules of ours that are loaded with these."""
    found: set[Path] = set()
    due = list(start)
    while due:
        module = due.pop().resolve()
        if module not in found:
            found.add(module)
            due += [module.parent / name for name in STATIC_IMPORT.findall(module.read_text())]
    return found


JS = WEB / "js"
SDK = WEB / "sdk" / "src"
AT_START = loaded(JS / "main.js")
LAZY_JS = (JS / "lazy.js").read_text()
LATER = {name: JS / module for name, module in LAZY.findall(LAZY_JS)}
PARTS = {name: SDK / module for name, module in PART.findall(LAZY_JS)}
ONCE_NEEDED = {
    (module.parent / name).resolve() for module in AT_START for name in ONCE.findall(module.read_text())
}
ON_DEMAND = loaded(*LATER.values(), *PARTS.values(), *ONCE_NEEDED)
CODE = {module: module.read_text() for module in sorted(AT_START | ON_DEMAND)}


def sent(module: Path) -> int:
    """The bytes in which a node sends it."""
    return len(gzip.compress(strip_comments(module.read_text()).encode(), 9, mtime=0))


def test_the_page_s_own_javascript_is_below_its_limits() -> None:
    sizes = {str(module.relative_to(WEB)): sent(module) for module in CODE}
    start = {name: size for name, size in sizes.items() if WEB / name in AT_START}
    assert sum(start.values()) < LIMIT, (sum(start.values()), start)
    views = AT_START | loaded(LATER["listView"], LATER["log"])
    assert sum(map(sent, views)) < LIMIT_OF_VIEWS, sum(map(sent, views))
    assert sum(sizes.values()) < LIMIT_OF_ALL, (sum(sizes.values()), sizes)


def test_the_sdk_is_below_its_limit() -> None:
    """What a bundle has, later parts too, in one file; React and the AI SDK have files of their own."""
    modules = loaded(SDK / "index.js", *PARTS.values(), SDK / "stores" / "indexeddb.js")
    together = "".join(strip_comments(module.read_text()) for module in sorted(modules))
    assert len(gzip.compress(together.encode(), 9, mtime=0)) < LIMIT_OF_SDK


def test_every_module_of_the_page_is_used_and_starts_with_its_purpose() -> None:
    stage = JS / "stage"
    worker = JS / "push_worker.js"  # which the service worker loads
    assert set(CODE) == {
        path.resolve() for path in JS.rglob("*.js") if stage not in path.parents and path != worker
    } | {
        path.resolve()
        for path in SDK.rglob("*.js")
        if path.name not in FOR_OTHERS and path.parent.name != "ai_sdk"
    }
    for module, code in CODE.items():
        assert code.startswith("// "), module


@pytest.mark.parametrize(
    "browser_only", [r"\bdocument\b", r"\bwindow\b", r"\blocation\b", r"\b(local|session)Storage\b"]
)
def test_the_sdk_needs_no_browser(browser_only: str) -> None:
    for path in SDK.rglob("*.js"):
        code = strip_comments(path.read_text())
        assert not re.search(browser_only, code), path


def test_lazy_modules_are_not_loaded_at_the_start() -> None:
    """Otherwise it is missing when the node dies. What is needed once is fetched while the server answers."""
    assert not {*LATER.values(), *PARTS.values(), *ONCE_NEEDED} & AT_START
    assert LAZY_JS.count('later("') == len(LATER), "each is declared in the same form"
    assert LAZY_JS.count('part("') == len(PARTS)
    assert {module.name for module in ONCE_NEEDED} == {"sign_in.js", "refusal.js"}


def test_the_package_needs_no_import_of_its_own_modules_at_runtime() -> None:
    """Bundlers and Node have all parts at once: the same ones that the page has later."""
    for path in SDK.rglob("*.js"):
        assert not re.search(r"\bimport\(", strip_comments(path.read_text())), path
    given = re.search(r"Object\.entries\(\{ (.*) \}\)", (SDK / "all_parts.js").read_text())
    assert given
    assert given[1].split(", ") == list(PARTS)


def test_every_lazy_module_is_used_by_its_declared_name() -> None:
    used = {name for code in CODE.values() for name in re.findall(r"\blazy\.(\w+)\.load", code)}
    used |= set(re.findall(r'data-by="(\w+)"', PAGE)) | {"typing"}  # which others' typing needs
    used |= {"mentions", "paste"}  # which listen to the field
    assert used == set(LATER)


@pytest.mark.parametrize("catalogue", [WORDS, STAGE_WORDS], ids=["page", "stage"])
def test_both_languages_have_the_same_words_with_the_same_values(catalogue: dict[str, dict[str, str]]) -> None:
    en, zh = catalogue["en"], catalogue["zh"]
    assert list(en) == list(zh)
    for key, text in en.items():
        assert bool(text.strip()) == bool(zh[key].strip()) == (key != "run_running"), key
        assert set(VALUE.findall(zh[key])) <= set(VALUE.findall(text)), key
    same = {"locale", "language", "p50", "p99", "line", "run_running", "lastBy"}
    assert all(CJK.search(text) for key, text in zh.items() if key not in same)
    assert not any(CJK.search(text) for key, text in en.items() if key != "language")


def test_every_word_of_the_page_exists_and_is_used() -> None:
    code = "\n".join(CODE.values())
    used = set(re.findall(r"\bt\(\s*\"(\w+)\"", code)) | set(re.findall(r'data-(?:t|label)="(\w+)"', PAGE))
    assert used <= set(WORDS["en"]), used - set(WORDS["en"])
    # The others are named by values: settings, states, types of entries and codes of errors.
    quoted = used | set(re.findall(r"[\"'`](\w+)[\"'`]", code)) | set(re.findall(r'value="(\w+)"', PAGE))
    codes = {*quoted, *ErrorCode, *REFUSALS, *(f"session_{reason}" for reason in SESSION_ENDS)}
    known = quoted | {f"error_{code}" for code in codes} | {f"entry_{kind}" for kind in EntryType}
    known |= {"entry_member_joined_by", "entry_member_left_by"}  # by somebody else
    known |= {f"{told}_{decision}" for told in ("do", "did") for decision in DECISIONS}
    known |= {f"failed_{code}" for code in ("graph_changed", "node_lost", "answer_too_large")}
    assert set(WORDS["en"]) - known <= {"called", "done", "failed", "locale"}


@pytest.mark.parametrize("language", WORDS)
def test_every_error_that_a_server_may_answer_with_has_a_text(language: str) -> None:
    codes = {*ErrorCode, *REFUSALS, *(f"session_{reason}" for reason in SESSION_ENDS), "other"}
    assert {f"error_{code}" for code in codes} <= set(WORDS[language])


def test_every_word_of_the_stage_exists_and_is_used() -> None:
    page = (WEB / "stage.html").read_text()
    code = "\n".join(module.read_text() for module in sorted((JS / "stage").glob("*.js")))
    used = set(re.findall(r'data-(?:t|label)="(\w+)"', page)) | set(re.findall(r"\bt\(\s*\"(\w+)\"", code))
    assert used <= set(STAGE_WORDS["en"]), used - set(STAGE_WORDS["en"])
    quoted = used | set(re.findall(r"[\"'`](\w+)[\"'`]", code))
    numbered = {f"{name}{part}" for name in ("part", "title", "text") for part in range(7)}
    numbered |= {f"count{number}" for number in range(1, 9)}
    states = {f"run_{status}" for status in RunStatus} | {"run_asked", "run_lost"}
    assert set(STAGE_WORDS["en"]) <= quoted | numbered | states


@pytest.mark.parametrize(
    "forbidden",
    [
        r"innerHTML",
        r"outerHTML",
        r"insertAdjacentHTML",
        r"document\.write",
        r"\beval\(",
        r"new Function",
        r"DOMParser",
    ],
)
def test_no_text_becomes_html_or_code(forbidden: str) -> None:
    for path in [*JS.rglob("*.js"), WEB / "index.html"]:
        assert not re.search(forbidden, path.read_text()), path


def test_the_page_has_no_inline_script_or_style_and_each_id_once() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", PAGE)
    ids = re.findall(r'\bid="([^"]+)"', PAGE)
    assert len(ids) == len(set(ids))
    for user in ("href", "popovertarget", "aria-controls", "aria-labelledby"):
        for name in re.findall(rf'\b{user}="#?([\w-]+)"', PAGE):
            assert name in ids, (user, name)


def test_every_element_that_the_page_gets_by_id_exists() -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', PAGE))
    for module, code in CODE.items():
        assert set(re.findall(r'(?<![\w$])\$\("([^"]+)"\)', code)) <= ids, module
        assert {f"t-{name}" for name in re.findall(r'\bis: "([\w-]+)"', code)} <= ids, module


def test_dependencies_are_pinned_and_name_no_registry() -> None:
    package = json.loads((WEB / "package.json").read_text())
    for version in [*package["dependencies"].values(), *package["devDependencies"].values()]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert "resolved" not in (WEB / "package-lock.json").read_text()
