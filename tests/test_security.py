"""What SECURITY.md promises: paths, uploads, pickles, SQL, texts, names, settings."""

from __future__ import annotations

import ast
import os
import pickle
import re
import tomllib
from pathlib import Path

import bad_input
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import labelaudit
from labelaudit import load_dataset
from labelaudit.core.csv_cells import guard, unguard
from labelaudit.core.errors import LabelAuditError
from labelaudit.export import suspects_csv
from labelaudit.export.tables import open_sink
from labelaudit.storage.allowed_roots import check_inside, configured_roots, is_inside
from labelaudit.ui import paths, signin, uploads
from labelaudit.ui.text import plain

REPO = Path(__file__).resolve().parents[1]
CODE = [*(REPO / "labelaudit").rglob("*.py"), *(REPO / "pages").rglob("*.py"), REPO / "app.py"]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "![x](http://127.0.0.1:9/leak.png)",
    "[click](javascript:alert(1))",
    '"><script>alert(1)</script>',
    "'; DROP TABLE samples; --",
    "=HYPERLINK(1)",
    "a' OR 'a' = 'a",
]


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """(dotted name, call) of every call in a file."""
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


# --- what is never run ---


def test_no_pickle_is_ever_loaded_and_nothing_is_evaluated():
    """Only torchvision reads CIFAR's batches, after checking the archive."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not forbidden & {name.split(".")[0] for name in names}, path
        for name, call in calls(path):
            options = {option.arg: option.value for option in call.keywords}
            where = f"{path}:{call.lineno}"
            assert name not in ("eval", "exec", "os.system", "os.popen", "pd.read_pickle"), where
            assert ast.unparse(options.get("allow_pickle", ast.Constant(False))) == "False", where
            if name == "torch.load":
                assert ast.unparse(options.get("weights_only")) == "True", where
            if name in ("np.load", "numpy.load"):  # allow_pickle is False by default
                assert len(call.args) == 1, where
            if "shell" in options:
                assert ast.unparse(options["shell"]) == "False", where


def test_batches_of_cifar_that_are_not_torchvisions_are_never_unpickled(home, monkeypatch):
    """They are pickles: only files with a checksum that torchvision knows are read."""
    from urllib.error import URLError

    import torchvision.datasets.cifar as cifar

    def no_network(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr(cifar, "download_and_extract_archive", no_network)
    folder = home / "downloads/cifar10/cifar-10-batches-py"
    folder.mkdir(parents=True)
    command = f"touch {home}/ran"
    bomb = b"cos\nsystem\n(S'" + command.encode() + b"'\ntR."
    for name, _ in [*cifar.CIFAR10.train_list, *cifar.CIFAR10.test_list, ("batches.meta", "")]:
        (folder / name).write_bytes(bomb)
    with pytest.raises(LabelAuditError, match="could not be downloaded"):
        load_dataset("cifar10")
    assert not (home / "ran").exists()
    pickle.loads(bomb)  # it would have
    assert (home / "ran").exists()


def test_conditions_of_sql_hold_nothing_but_numbers_and_the_librarys_own_words():
    own = {"BEGUN", "FINISHED", "GONE"}  # constants; all else must be made a number first
    seen = 0
    for path in (REPO / "labelaudit").rglob("*.py"):
        for name, call in calls(path):
            reads = r"(store|frame|_changes|merge)\.?(read|read_rows|delete)$|\.where$|^_changes$"
            if not re.search(reads, name):
                continue
            for text in (a for a in call.args[1:] if isinstance(a, ast.JoinedStr)):
                seen += 1
                for part in (v for v in text.values if isinstance(v, ast.FormattedValue)):
                    value = ast.unparse(part.value)
                    safe = value in own or value.startswith("int(") or "map(str, " in value
                    safe = safe or value in ("last['id']", "change", "target")
                    assert safe, f"{path}:{call.lineno}: {value} in a condition"
    assert seen >= 4


def test_filters_by_hostile_words_find_what_they_name_and_nothing_else(home):
    rows = {"filepath": [f"/x/{i}.png" for i in range(len(HOSTILE))], "label": HOSTILE,
            "split": HOSTILE}  # fmt: skip
    dataset = labelaudit.dataset.dataset.create_dataset("x", rows)
    for i, word in enumerate(HOSTILE, 1):
        assert dataset.view().match(label=word).ids.tolist() == [i]
        assert dataset.view().match(split=word).ids.tolist() == [i]
        if ";" not in word:
            dataset.tag([i], word)
            assert dataset.view().match_tag(word).ids.tolist() == [i]
    for field in ("label", "split"):
        with pytest.raises(LabelAuditError, match="OR 'a'"):
            len(dataset.view().match(**{field: "x' OR 'a' = 'a"}))
    assert len(load_dataset("x")) == len(HOSTILE)  # no table was dropped
    review = labelaudit.Review(dataset, "a' OR 'a' = 'a")
    review.decide(1, "keep")
    assert labelaudit.Review(dataset, "a").of([1])[0][0].reviewer == "a' OR 'a' = 'a"


# --- paths ---


@pytest.fixture
def places(tmp_path, picture):
    """/data with a class folder and links to the outside, and next to it /data2 with a secret."""
    for name, seed in (("data/in/cat/a.png", 1), ("data2/cat/secret.png", 2)):
        picture(tmp_path / name, seed=seed)
    (tmp_path / "data/out").symlink_to(tmp_path / "data2")
    (tmp_path / "data/in/cat/link.png").symlink_to(tmp_path / "data2/cat/secret.png")
    (tmp_path / "data/in/cat/near.png").symlink_to("a.png")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["data2", "data/../data2", "data/out", "data/out/cat", "data/in/../../data2", "", "/", "..",
     "data/in/cat/link.png", "data\0", "data/\0/../../data2", "data/%2e%2e/../../data2"],
)  # fmt: skip
def test_no_path_leads_out_of_a_root(places, path):
    roots = (os.path.realpath(places / "data"),)
    with pytest.raises(LabelAuditError, match="lies outside of the folders") as caught:
        check_inside(f"{places}/{path}" if path not in ("", "/", "..") else path, roots)
    assert "secret" not in str(caught.value) or "link.png" in path


@pytest.mark.parametrize("path", ["data", "data/", "data/in", "data/./in/../in/cat/near.png",
                                  "data/not/there", "data/%2e%2e/data2"])  # fmt: skip
def test_paths_in_a_root_are_as_they_are(places, path):
    roots = (os.path.realpath(places / "data"),)
    found = check_inside(places / path, roots)
    assert found == os.path.realpath(places / path)
    assert is_inside(found, roots)


def test_roots_are_absolute_folders_with_links_followed(places, monkeypatch):
    (places / "alias").symlink_to(places / "data")
    monkeypatch.setenv("LABELAUDIT_ROOTS", f"{places}/alias{os.pathsep} {os.pathsep}/mnt")
    assert configured_roots() == (os.path.realpath(places / "data"), os.path.realpath("/mnt"))
    assert check_inside(places / "alias/in", configured_roots()) == f"{places}/data/in"
    monkeypatch.setenv("LABELAUDIT_ROOTS", "data")
    with pytest.raises(LabelAuditError, match="names 'data', which is not an absolute path"):
        configured_roots()


def test_a_load_within_folders_reads_nothing_outside(places, home):
    within = [str(places / "data")]
    dataset = load_dataset("x", places / "data/in", within=within)
    assert [Path(p).name for p in dataset.view().values("filepath")] == ["a.png", "near.png"]
    (left,) = dataset.info["skipped"]["files"]
    assert left["file"].endswith("link.png")
    assert left["why"] == "is outside the folders that may be used here"
    lines = ["in/cat/a.png,cat", "../data2/cat/secret.png,cat", f"{places}/data2/cat/secret.png,b",
             "out/cat/secret.png,c"]  # fmt: skip
    (places / "data/m.csv").write_text("\n".join(["filepath,label", *lines]))
    assert len(load_dataset("y", places / "data/m.csv", within=within)) == 1
    assert load_dataset("y").info["skipped"]["count"] == 3
    assert len(load_dataset("z", places / "data/m.csv")) == 4  # one's own machine


def test_a_list_of_images_that_is_a_link_is_not_read(places, home):
    (places / "data2/notes.csv").write_text("file_name,password\na.png,hunter2\n")
    (places / "data/in/metadata.csv").symlink_to(places / "data2/notes.csv")
    with pytest.raises(LabelAuditError, match="lies outside of the folders") as caught:
        load_dataset("x", places / "data/in", within=[str(places / "data")])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["hf:/etc", "hf:../x", "hf:~/x", "hf:./x", "hf:tests", "hf:a/b/c"])
def test_no_folder_of_this_machine_is_taken_for_a_dataset_of_the_hub(name, home, monkeypatch):
    monkeypatch.chdir(REPO)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(LabelAuditError, match="is not a dataset on the hub"):
        load_dataset("x", name, within=[])
    with pytest.raises(LabelAuditError, match="need the package"):
        load_dataset("x", "hf:owner/name@config", within=[])


@pytest.mark.parametrize(
    ("address", "open_to_others"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("127.9.9.9", False),
     ("unix:/run/x", False), (None, True), ("", True), ("0.0.0.0", True), ("::", True),
     ("192.168.1.2", True), ("audit.example.org", True)],
)  # fmt: skip
def test_typed_paths_are_refused_where_others_can_reach_the_app(
    address, open_to_others, places, monkeypatch
):
    monkeypatch.delenv("LABELAUDIT_ROOTS", raising=False)
    monkeypatch.setattr(paths.st, "get_option", lambda name: address)
    monkeypatch.setattr(signin, "is_on", lambda: False)
    assert paths.is_open_to_others() is open_to_others
    if open_to_others:
        assert paths.allowed() == ()
        with pytest.raises(LabelAuditError, match="start it with LABELAUDIT_ROOTS=/data"):
            paths.typed(str(places))
    else:
        assert paths.allowed() is None
        assert paths.typed("~/x") == "~/x"
    monkeypatch.setenv("LABELAUDIT_ROOTS", str(places / "data"))
    assert paths.typed(f"{places}/data/in") == f"{places}/data/in"
    for out in (f"{places}/data2", f"{places}/data/out", "~", "/etc/passwd"):
        with pytest.raises(LabelAuditError, match="lies outside"):
            paths.typed(out)


def test_typed_paths_are_refused_where_people_sign_in(monkeypatch):
    monkeypatch.delenv("LABELAUDIT_ROOTS", raising=False)
    monkeypatch.setattr(paths.st, "get_option", lambda name: "127.0.0.1")  # behind a proxy
    monkeypatch.setattr(signin, "is_on", lambda: True)
    assert paths.allowed() == ()


def test_every_path_that_pages_take_is_asked_for():
    """Typed paths reach `load_dataset` only through `paths`."""
    text = (REPO / "labelaudit/ui/load_form.py").read_text()
    begun = re.findall(r'jobs\.begin\("load".*?\)\n', text)
    assert begun == ['jobs.begin("load", name)\n', 'jobs.begin("load", name, **options)\n']
    calls_of_begin = re.findall(r" _begin\(.*?\)\n", text)
    assert len(calls_of_begin) == 2
    for call in calls_of_begin:
        assert "within=paths.allowed()" in call or "within=within" in call
    assert "within = paths.allowed()" in text
    for page in ("labelaudit/ui/import_form.py", "pages/suspects/export.py"):
        assert "paths.typed(" in (REPO / page).read_text()
    for path in CODE:
        if "pages" in path.parts or "ui" in path.parts:
            names = [name for name, _ in calls(path)]
            assert not {"open", "Path.open", "os.listdir", "os.walk", "load_folder"} & set(names)


# --- uploads and files ---


@pytest.mark.parametrize(
    ("name", "kept"),
    [("pets.zip", "pets.zip"), ("../../etc/passwd.csv", "passwd.csv"), ("C:\\x\\a.csv", "a.csv"),
     ("..", "upload"), (".zip", "zip"), ("a\0b\n.csv", "a_b_.csv"), ("قط.csv", "قط.csv"),
     ("x" * 300 + ".csv", "x" * 120 + ".csv"), ("<b>.json", "_b_.json")],
)  # fmt: skip
def test_uploads_keep_a_harmless_name_in_a_folder_of_their_own(name, kept, home):
    class Upload:
        size = 4

        def getbuffer(self):
            return b"data"

    upload = Upload()
    upload.name = name
    first, second = Path(uploads.store(upload)), Path(uploads.store(upload))
    assert first.name == kept
    assert first != second
    assert first.read_bytes() == b"data"
    assert first.parent.parent == home / "uploads"
    assert first.parent.stat().st_mode & 0o077 == 0
    os.utime(first.parent, (0, 0))
    uploads.store(upload)
    assert not first.exists()  # a day later
    assert second.exists()
    same = Path(uploads.store(upload, "same"))
    os.utime(same, (5, 5))
    assert uploads.store(upload, "same") == str(same)
    assert same.stat().st_mtime == 5  # written once


def test_a_new_home_is_its_users_alone_and_files_obey_the_umask(home, tmp_path):
    labelaudit.list_datasets()
    load_dataset("digits")
    assert home.stat().st_mode & 0o777 == 0o700
    before = os.umask(0o027)
    try:
        with open_sink(tmp_path / "labels.csv") as sink:
            sink.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "labels.csv").stat().st_mode & 0o777 == 0o640


def test_settings_of_the_server():
    options = tomllib.loads((REPO / ".streamlit/config.toml").read_text())
    server = options["server"]
    assert server["address"] == "127.0.0.1"
    assert server["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert 0 < server["maxUploadSize"] <= 4096
    assert options["client"]["showErrorDetails"] == "none"
    assert options["browser"]["gatherUsageStats"] is False
    # on by default: nobody has turned them off
    assert not {"enableCORS", "enableXsrfProtection", "corsAllowedOrigins"} & server.keys()
    assert not {"trustedUserHeaders", "enableStaticServing"} & server.keys()


# --- text from the data ---


def test_only_one_place_shows_errors_and_only_two_write_html():
    for path in CODE:
        names = {name for name, _ in calls(path)}
        assert "st.error" not in names or path.name == "text.py", path
        assert "st.html" not in names or path.name in ("grid.py", "sidebar.py"), path
        assert "st.exception" not in names, path
        assert "unsafe_allow_html" not in path.read_text(), path
        assert "unsafe_allow_javascript" not in path.read_text() or path.name == "sidebar.py", path


def test_the_browsers_parts_set_text_and_never_html():
    for path in (REPO / "labelaudit/ui/assets").glob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                     "new Function"):  # fmt: skip
            assert word not in text, f"{path}: {word}"
        for link in re.findall(r"[.\"']href\b.*", text):
            assert link.startswith('.href = "review?" + '), f"{path}: {link}"  # no other scheme


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stands_as_it_is(text):
    assert re.sub(r"\\(.)", r"\1", plain(text)) == text
    assert not re.search(r"(?<!\\)[\[\]<>*_`$~|]", plain(text))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_no_text_is_markdown(text):
    escaped = plain(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*[\[\]<>*_`$~|:&]", escaped)
    assert not re.match(r"#|\+|-|=|\d+[.)]", escaped)
    assert " ".join(text.split()) == re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", escaped)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="=+-@\t\r'a1. ", max_size=6)))
def test_no_cell_is_run_by_a_spreadsheet_and_all_come_back(texts):
    import pyarrow as pa

    cells = guard(pa.array(texts, pa.string()))
    for cell in cells.to_pylist():
        assert not re.match(r"[=@\t\r]", cell)
        assert not re.match(r"[+-]", cell) or re.fullmatch(r"[+-]?\d+(\.\d+)?\n?", cell)
    assert unguard(cells).to_pylist() == texts


def test_names_in_files_are_guarded_and_escaped(home):
    rows = {"filepath": [f"/x/{w}.png" for w in HOSTILE], "label": HOSTILE, "split": HOSTILE}
    view = labelaudit.dataset.dataset.create_dataset("x", rows).view()
    text = suspects_csv(view).decode()
    assert "\n=HYPERLINK" not in text
    assert ",=HYPERLINK" not in text
    assert "'=HYPERLINK(1)" in text


# --- signing in ---


def test_a_user_has_the_surest_name_that_the_provider_tells():
    assert signin.user_name({"email": " ann@x.org ", "name": "Ann"}) == "ann@x.org"
    assert signin.user_name({"email": None, "name": "Ann\nB"}) == "Ann B"
    assert signin.user_name({"sub": "x" * 100}) == "x" * 64
    assert signin.user_name({"is_logged_in": True}) is None


def test_providers_are_those_with_a_client():
    shared = {"redirect_uri": "x", "cookie_secret": "y"}
    assert signin.providers({**shared, "client_id": "a"}) == [None]
    several = {"google": {"client_id": "a"}, "okta": {"client_id": "b"}}
    other = {"client_kwargs": {"prompt": "login"}}
    assert signin.providers({**shared, **several, **other}) == ["google", "okta"]
    assert signin.providers({}) == []


def gated() -> None:
    """A page behind the gate."""
    import streamlit as st

    from labelaudit.ui import signin, state

    user = st.session_state.get("user")
    signin.st.user = user  # a stub: AppTest cannot sign in
    signin.ask()
    signin.show()
    st.write("inside", state.name_field("Reviewer", "anybody", "reviewer", "help"))


@pytest.fixture
def gate(monkeypatch):
    """Run the page behind the gate, for a user of a server with these secrets."""
    import streamlit

    def run(user: dict, secrets: dict | None = None):
        monkeypatch.setattr(streamlit, "user", user)
        app = AppTest.from_function(gated)
        app.session_state["user"] = user
        for name, value in (secrets or {}).items():
            app.secrets[name] = value
        app.run()
        assert not app.exception
        return app

    return run


def test_without_a_section_auth_nobody_signs_in(gate):
    app = gate({})
    assert app.markdown[0].value == "inside anybody"
    assert not app.button
    assert not app.text_input[0].disabled


def test_who_has_not_signed_in_sees_nothing_but_the_button(gate, monkeypatch):
    auth = {"auth": {"google": {"client_id": "a"}, "client_id": "b"}}
    monkeypatch.setattr(signin, "_has_package", lambda: True)
    app = gate({"is_logged_in": False}, auth)
    assert [button.label for button in app.button] == ["Sign in", "Sign in with Google"]
    assert not any("inside" in text.value for text in app.markdown)
    assert not app.text_input
    monkeypatch.setattr(signin, "_has_package", lambda: False)
    app = gate({"is_logged_in": False}, auth)
    assert not app.button
    assert "pip install" in app.error[0].value


def test_who_has_signed_in_reviews_under_that_name_and_no_other(gate):
    app = gate({"is_logged_in": True, "email": "ann@x.org"})
    assert app.markdown[0].value == "inside ann@x.org"
    assert app.text_input[0].disabled
    assert "Sign out" in [button.label for button in app.button]
    app = gate({"is_logged_in": True})
    assert not app.markdown
    assert "neither an email nor a name" in app.error[0].value


def test_secrets_that_cannot_be_read_let_nobody_in(gate, tmp_path, monkeypatch):
    from streamlit import config
    from streamlit.runtime.secrets import secrets_singleton

    broken = tmp_path / "secrets.toml"
    broken.write_text("[auth\n")
    monkeypatch.setattr(signin.st, "get_option", lambda name: [str(broken)])
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(broken)])
    secrets_singleton._reset()
    try:
        app = gate({})
    finally:
        config.set_option("secrets.files", before)
        secrets_singleton._reset()
    assert not app.markdown
    assert "cannot be read" in app.error[0].value


def test_the_app_asks_before_it_shows_anything():
    text = (REPO / "app.py").read_text()
    assert text.index("signin.ask()") < text.index("sidebar.pick_dataset()") < text.index(
        "page.run()")  # fmt: skip


def test_the_corpus_is_named_in_the_document():
    text = (REPO / "SECURITY.md").read_text()
    for word in ("LABELAUDIT_ROOTS", "docs/bad-input.md", "[auth]", "pickle", "make audit-packages",
                 "allowedHosts"):  # fmt: skip
        assert word in text
    assert bad_input.PAGE.exists()
