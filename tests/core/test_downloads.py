"""Files of data sets: altered or cut ones are refused by name; downloads are checked, and go on where they stopped."""

import concurrent.futures
import contextlib
import gzip
import hashlib
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest

import helpers
from benchmark_utils.files import fetch as data
from benchmark_utils.files import mnist


# ---------------------------------------------------------------------- altered and cut files
@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """Point benchopt's data path to an empty folder."""
    monkeypatch.setattr(data, "get_data_path", lambda key: tmp_path / key)
    monkeypatch.setattr(data, "_failed", {})
    monkeypatch.setattr(data, "_checked", set())
    for filename, _ in MADE_UP.values():
        (tmp_path / filename).parent.mkdir(exist_ok=True)
    return tmp_path


def archive(documents):
    """Return a gzipped tar of the documents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in documents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return out.getvalue()


DOCUMENTS = {
    f"20news-bydate-{part}/sci.space/{i}": b"From: me\n\nhello" for i in range(9) for part in ("train", "test")
}
MADE_UP = {
    "covtype": ("covtype/covtype.data.gz", gzip.compress(b"2596,51,3,258\n" * 50)),
    "newsgroups20": ("20newsgroups/20news-bydate.tar.gz", archive(DOCUMENTS)),
    "mnist_cleaning": ("mnist/train-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + bytes(200))),
}


@pytest.mark.parametrize("name", MADE_UP)
@pytest.mark.parametrize("fault", ["altered", "cut", "damaged"])
def test_altered_cut_or_damaged_file_is_refused_by_name(name, fault, data_home):
    filename, content = MADE_UP[name]
    if fault == "cut":
        content = content[: len(content) // 2]
    elif fault == "damaged":  # the compressed bytes themselves
        content = content[:20] + b"\xff" * 40 + content[60:]
    (data_home / filename).write_bytes(content)
    answer = helpers.dataset_module(name).Dataset.get_instance().get_data()
    assert answer["problem"] is None
    assert str(data_home / filename) in answer["reason"]
    compressed = fault != "altered" and name != "mnist_cleaning"  # MNIST's hash is that of the compressed file
    told = "is cut short or not readable" if compressed else "the file was altered or"
    assert told in answer["reason"]
    assert "delete it and fetch https://" in answer["reason"]


def test_hash_of_the_documents_does_not_depend_on_the_packing(tmp_path):
    module = helpers.dataset_module("newsgroups20")
    packings = [DOCUMENTS, dict(reversed(DOCUMENTS.items())), {f"./{k}": v for k, v in DOCUMENTS.items()}]
    changed = DOCUMENTS | {"20news-bydate-test/sci.space/3": b"From: you\n\nhello"}
    hashes = []
    for i, documents in enumerate([*packings, changed]):
        (tmp_path / f"{i}.tar.gz").write_bytes(archive(documents))
        hashes.append(module.content_hash(tmp_path / f"{i}.tar.gz"))
    assert hashes[0] == hashes[1] == hashes[2]
    assert hashes[3] != hashes[0]


def test_idx_file_with_a_wrong_header_is_refused(tmp_path):
    for content in (b"\0\0\x08\x01\0\0\0\x05" + bytes(4), b"\0\0\x0d\x01\0\0\0\x04" + bytes(4)):
        (tmp_path / "a.gz").write_bytes(gzip.compress(content))
        with pytest.raises(data.DataUnavailable, match=r"a\.gz is not an idx file of bytes"):
            mnist.read_idx(tmp_path / "a.gz")


# ---------------------------------------------------------------------- downloads
CONTENT = np.random.default_rng(0).bytes(300_000)


class Server:
    """A server of one file that can break off and that logs the ranges it was asked for."""

    def __init__(self, break_after=None, ranges=True, content=CONTENT):
        self.break_after, self.ranges, self.content, self.asked = break_after, ranges, content, []

    def handler(server):
        """Return the handler class."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                asked = self.headers.get("Range")
                server.asked.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
                if start >= len(server.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(server.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = server.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
                self.end_headers()
                self.wfile.write(body[: server.break_after] if server.break_after else body)

        return Handler


@contextlib.contextmanager
def serve(**options):
    """Yield (url, Server)."""
    server = Server(**options)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), server.handler()) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/rows.bin", server
        httpd.shutdown()
        thread.join()


def fetch_rows(url):
    """Fetch the served file."""
    return data.fetch("mnist", "rows.bin", url, hashlib.sha256(CONTENT).hexdigest(), compressed=False)


def test_broken_download_is_taken_up_where_it_stopped(data_home, capsys):
    with serve(break_after=100_000) as (url, server):
        path = fetch_rows(url)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]
    assert "rows.bin: 100%" in capsys.readouterr().err
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["rows.bin"]


def test_interrupted_download_is_taken_up_by_the_next_call(data_home, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with serve() as (url, server):
        monkeypatch.setattr(data.tqdm, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch_rows(url)
        kept = (data_home / "mnist" / "rows.bin.part").stat().st_size
        assert 0 < kept < len(CONTENT)
        monkeypatch.undo()
        monkeypatch.setattr(data, "get_data_path", lambda key: data_home / key)
        assert fetch_rows(url).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]


def test_processes_that_want_one_file_fetch_it_once(data_home):
    with serve() as (url, server), concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch_rows, [url] * 4))  # threads lock each other out as processes do
    assert paths[0].read_bytes() == CONTENT
    assert server.asked == [None]


def test_server_without_ranges_sends_the_whole_file(data_home):
    (data_home / "mnist" / "rows.bin.part").write_bytes(b"something else")
    with serve(ranges=False) as (url, _):
        assert fetch_rows(url).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_part_that_is_complete_or_too_long(data_home, length):
    (data_home / "mnist" / "rows.bin.part").write_bytes((CONTENT + bytes(9))[:length])
    with serve() as (url, server):
        assert fetch_rows(url).read_bytes() == CONTENT
    assert len(server.asked) == (1 if length == len(CONTENT) else 2)


def test_pieces_that_do_not_fit_are_fetched_anew_as_a_whole(data_home):
    (data_home / "mnist" / "rows.bin.part").write_bytes(bytes(1000))
    with serve() as (url, server):
        assert fetch_rows(url).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", None]


@pytest.mark.parametrize("break_after", [None, 200_000])
def test_wrong_content_is_not_kept_and_not_fetched_again_at_once(data_home, break_after):
    with serve(content=CONTENT[:-1] + b"?", break_after=break_after) as (url, server):
        sentences = set()
        for _ in range(2):
            with pytest.raises(data.DataUnavailable) as error:
                fetch_rows(url)
            sentences.add(str(error.value))
    (sentence,) = sentences
    assert f"what {url} sends has sha256" in sentence
    assert f"put it at {data_home / 'mnist' / 'rows.bin'}" in sentence
    assert len(server.asked) == (1 if break_after is None else 4), "pieces are tried once more"
    assert not [p for p in (data_home / "mnist").iterdir() if not p.name.endswith(".lock")]


def test_archive_with_the_published_hash_is_taken_as_it_is(data_home):
    (data_home / "mnist" / "rows.bin").write_bytes(CONTENT)
    published, never = hashlib.sha256(CONTENT).hexdigest(), lambda path: pytest.fail("looked at the content")
    path = data.fetch("mnist", "rows.bin", "no address", "digest", True, never, published)
    assert path.read_bytes() == CONTENT


def test_folder_that_cannot_be_written_is_named(data_home, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(data_home))

    monkeypatch.setattr(data, "FileLock", refuse)
    with pytest.raises(data.DataUnavailable, match=r"cannot be written .*Permission denied.*BENCHOPT_DATA_HOME"):
        fetch_rows("http://127.0.0.1:9/rows.bin")


def test_folder_that_cannot_be_searched_is_named(data_home, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(data.Path, "exists", refuse)
    with pytest.raises(data.DataUnavailable, match=r"cannot be read .*Permission denied.*BENCHOPT_DATA_HOME"):
        fetch_rows("http://127.0.0.1:9/rows.bin")


def test_cause_of_a_failed_download_is_said(data_home):
    with pytest.raises(data.DataUnavailable, match=r"could not be downloaded \(URLError: .*refused.*by hand"):
        fetch_rows("http://127.0.0.1:9/rows.bin")
