from indexing.index import Index


def test_search_finds_documents():
    index = Index()
    index.add(2, "Red house")
    index.add(1, "red car")
    assert index.search("RED") == [1, 2]
    assert index.search("boat") == []
