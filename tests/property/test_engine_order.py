"""Whatever needs whatever, every cell ends once, and none runs before all that it needs is done."""

from hypothesis import given
from hypothesis import strategies as st

from smlmbench.engine import Hooks, map_cells


@st.composite
def plans(draw):
    """Specs whose needs may point anywhere, also at themselves, in circles, and outside."""
    names = [f"c{number}" for number in range(draw(st.integers(1, 12)))]
    known = [*names, "elsewhere"]
    return [
        {
            "id": name,
            "needs": draw(st.lists(st.sampled_from(known), max_size=3)),
            "ends": draw(st.sampled_from(["done", "done", "done", "failed", "left"])),
        }
        for name in names
    ]


@given(specs=plans(), time_for=st.integers(0, 15))
def test_order(specs, time_for):
    begun, ended, done = [], [], set()

    def run_cell(spec):
        inside = {need for need in spec["needs"] if need != "elsewhere"}
        assert inside <= done
        begun.append(spec["id"])
        if spec["ends"] == "done":
            done.add(spec["id"])
        return {"status": spec["ends"]}

    results = map_cells(
        run_cell,
        specs,
        on_result=lambda spec, result: ended.append(spec["id"]),
        hooks=Hooks(may_begin=lambda: len(begun) < time_for),
    )
    assert sorted(ended) == sorted(spec["id"] for spec in specs)
    assert len(begun) == len(set(begun))
    for spec, result in zip(specs, results, strict=True):
        if spec["id"] in begun:
            assert result["status"] == spec["ends"]
        else:
            assert result["status"] in ("planned", "blocked")
            # What could have run was run, unless the time was over.
            free = all(need in done or need == "elsewhere" for need in spec["needs"])
            assert not free or len(begun) >= time_for
