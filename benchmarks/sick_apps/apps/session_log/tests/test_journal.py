from sessions import journal


def test_lines_are_appended(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FOLDER", str(tmp_path))
    assert journal.write(7, ["a", "bc"]) == len("7 a\n7 bc\n")
    journal.write(7, ["d"])
    assert (tmp_path / "7.log").read_text() == "7 a\n7 bc\n7 d\n"
