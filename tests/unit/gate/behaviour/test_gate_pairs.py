"""The programs of the benchmark are what it takes them for."""

from benchmarks.gate_pairs import chosen_mutants, read_pairs


def test_each_pair_is_two_programs_with_tests() -> None:
    pairs = read_pairs()

    assert len(pairs) >= 40
    for pair in pairs:
        compile(pair.correct, pair.name, "exec", dont_inherit=True)
        compile(pair.buggy, pair.name, "exec", dont_inherit=True)
        assert pair.correct != pair.buggy, pair.name
        assert pair.tests.count("\ndef test_") >= 3, pair.name
        assert chosen_mutants(pair, 5) == chosen_mutants(pair, 5) != [], pair.name
