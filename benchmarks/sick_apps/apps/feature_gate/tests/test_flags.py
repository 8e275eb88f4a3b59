from featuregate.flags import bucket, is_on, load_flags


def test_everybody_and_nobody():
    assert is_on("dark-mode", "ada")
    assert not is_on("old-editor", "ada")
    assert not is_on("unknown", "ada")


def test_bucket_is_stable():
    assert bucket("ada") == bucket("ada")
    assert 0 <= bucket("ben") < 100


def test_flags_have_owners():
    assert all(flag["owner"] for flag in load_flags().values())
