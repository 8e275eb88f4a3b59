from uploads.spool import spool


def test_digest_and_size():
    digest, size = spool("hello")
    assert digest.startswith("2cf24dba")
    assert size == 5
