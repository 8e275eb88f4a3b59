from collections.abc import Sequence

from botocore.exceptions import EndpointConnectionError

from meetnotes.emitter import BATCH_BYTES, BATCH_LINES, Emitter, Line, batches


def test_batches_are_chronological() -> None:
    assert list(batches([(3, "c"), (1, "a"), (2, "b")])) == [[(1, "a"), (2, "b"), (3, "c")]]


def test_batch_holds_no_more_lines_than_allowed() -> None:
    assert [len(batch) for batch in batches([(1, "")] * (BATCH_LINES + 1))] == [BATCH_LINES, 1]


def test_batch_holds_no_more_bytes_than_allowed() -> None:
    half = "x" * (BATCH_BYTES // 2)

    assert [len(batch) for batch in batches([(1, half)] * 2)] == [1, 1]


def test_full_queue_drops_and_counts() -> None:
    sent: list[Line] = []
    emitter = Emitter("unused", sent.extend, capacity=1)
    emitter.put(1, "a")
    emitter.put(2, "b")

    emitter.flush()

    assert sent == [(1, "a")]
    assert emitter.dropped == 1


def test_lines_that_cannot_be_delivered_are_counted() -> None:
    def unreachable(lines: Sequence[Line]) -> None:
        raise EndpointConnectionError(endpoint_url="http://aws.example")

    emitter = Emitter("unused", unreachable)
    emitter.put(1, "a")

    emitter.flush()

    assert emitter.dropped == 1


def test_stopping_delivers_what_is_queued() -> None:
    sent: list[Line] = []
    emitter = Emitter("unused", sent.extend)
    emitter.start()
    emitter.put(1, "a")

    emitter.stop()

    assert sent == [(1, "a")]
