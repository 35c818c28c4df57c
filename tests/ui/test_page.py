"""How the page is started."""

from fastrcnn.ui import page


def test_memory_is_kept_apart_before_anything_else(detector, monkeypatch):
    done = []
    monkeypatch.setattr(page, "keep_apart", lambda: done.append("kept apart"))
    monkeypatch.setattr(page, "read_examples", lambda *_: done.append("read") or {})
    monkeypatch.setattr(page, "launch", lambda *_, **__: done.append("launched"))
    monkeypatch.setattr(page.Page, "block_thread", lambda _: done.append("served"))
    page.serve(detector)
    assert done == ["kept apart", "read", "read", "launched", "served"]
