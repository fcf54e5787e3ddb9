import pytest

from smlmbench.errors import ConfigError
from smlmbench.study.reading.text import override, parse, read_text


def test_numbers_are_those_of_yaml_1_2_and_all_else_is_text():
    read = parse(
        "a: 1e-3\nb: 010\nc: no\nd: 12:30\ne: 2024-01-01\nf: .5\ng: null\nh: true\ni: -3\nj: 1.\n3: k\n", "s.yaml"
    )
    assert read == {
        "a": 0.001,
        "b": 10,
        "c": "no",
        "d": "12:30",
        "e": "2024-01-01",
        "f": 0.5,
        "g": None,
        "h": True,
        "i": -3,
        "j": 1.0,
        "3": "k",
    }


def test_every_key_given_twice_is_told_with_its_line():
    with pytest.raises(ConfigError) as caught:
        parse("study: a\nseed: 1\nseed: 2\ndata:\n  - {name: x, name: y}\n", "s.yaml")
    assert str(caught.value).splitlines() == [
        "s.yaml, line 3: key 'seed' is given twice; keep one",
        "s.yaml, line 5: key 'name' is given twice; keep one",
    ]


def test_merge_keys_are_not_keys_given_twice():
    read = parse("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n", "s.yaml")
    assert read["b"] == {"p": 1, "q": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "a list instead of keys and values"),
        ("just text", "a str instead of keys and values"),
        ("a: [1, 2", "not valid YAML"),
        ("a: b: c", "s.yaml, line 1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "tag '!!python/object/apply:os.system' is not accepted"),
        ("a: !!python/name:os.system", "tag '!!python/name:os.system' is not accepted"),
        ("a: !mine 3", "tag '!mine' is not accepted"),
        ("a: &x [*x]", "levels"),
        ("a: '\x00'", "not valid YAML"),
    ],
)
def test_what_is_not_a_study_is_refused_in_one_line(text, said):
    with pytest.raises(ConfigError) as caught:
        parse(text, "s.yaml")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_few_aliases_cannot_stand_for_billions_of_values():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError, match="shorten its lists and aliases"):
        parse("\n".join(lines), "s.yaml")


def test_aliases_become_independent_copies():
    read = parse("a: &x {p: 1}\nb: *x\n", "s.yaml")
    override(read, ["a.p=2"])
    assert read == {"a": {"p": 2}, "b": {"p": 1}}


def test_overrides_reach_mappings_and_list_items():
    raw = {"training": {"lr": 1}, "models": ["a", {"name": "b"}], "losses": [{"lambda": [1, 2]}]}
    sets = [
        "training.lr=1e-3",
        "training.samples=500",
        "models.0.blocks=4",
        "models[1].blocks=5",
        "losses.0.lambda.1=7",
    ]
    override(raw, [*sets, "scoring.border_nm=0", "losses.0.rim=[1, 2]"])
    assert raw == {
        "training": {"lr": 0.001, "samples": 500},
        "models": [{"name": "a", "blocks": 4}, {"name": "b", "blocks": 5}],
        "losses": [{"lambda": [1, 7], "rim": [1, 2]}],
        "scoring": {"border_nm": 0},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.lr", "not KEY=VALUE"),
        ("=3", "not KEY=VALUE"),
        ("models.5.blocks=3", "'5' is not an item of models; it has 0 to 1"),
        ("models.x=3", "'x' is not an item of models"),
        ("seed.deep=3", "seed is a value, nothing can be set inside it"),
        ("seed=[1", "--set seed, line 1: not valid YAML"),
    ],
)
def test_a_wrong_override_is_explained(text, said):
    with pytest.raises(ConfigError) as caught:
        override({"seed": 1, "models": ["a", "b"]}, [text])
    assert said in str(caught.value)


def test_unreadable_files_are_explained(tmp_path):
    with pytest.raises(ConfigError, match="does not exist; give the path of a .yaml file"):
        read_text(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_text(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00s")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_text(tmp_path / "binary.yaml")
