"""Two folders become pairs: by name, in natural order, of one ratio, cut alike on every machine."""

import image_pairs
import numpy as np
import pytest
import tifffile

from smlmbench.errors import FormatError, PairingError, SizeError
from smlmbench.formats.pages import image_files, natural, open_pages
from smlmbench.study.sources import ImagesSource, PairsPart
from smlmbench.study.sources.pairs import check_values, cut_pairs
from smlmbench.study.sources.pairs import measure as measured_folders


def measure(source):
    return measured_folders(source.input, source.target)


def source_of(folder, **more):
    return ImagesSource(input=folder / "X", target=folder / "Y", **more)


def blank(height, width, dtype=np.uint16):
    return np.zeros((height, width), dtype)


def test_files_are_paired_by_name_in_natural_order_whatever_their_suffix(tmp_path):
    for number in (10, 9, 1):
        image_pairs.put(tmp_path, f"im{number}.tif", blank(8, 12), blank(32, 48))
    (tmp_path / "Y" / "im9.tif").unlink()
    image_pairs.put(tmp_path / "png", "im9.png", blank(8, 12), blank(32, 48))
    (tmp_path / "png" / "Y" / "im9.png").rename(tmp_path / "Y" / "im9.png")
    measured = measure(source_of(tmp_path))
    assert [page.name for page in measured.pages] == ["im1", "im9", "im10"]
    assert measured.ratio == 4
    assert {(page.height, page.width) for page in measured.pages} == {(8, 12)}
    assert measured.pages[1].target.name == "im9.png"


@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_every_ratio_that_is_accepted(tmp_path, ratio):
    image_pairs.put(tmp_path, "a.tif", blank(9, 8), blank(9 * ratio, 8 * ratio))
    assert measure(source_of(tmp_path)).ratio == ratio


@pytest.mark.parametrize("target", [(24, 24), (16, 32), (4, 4), (17, 16)])
def test_other_ratios_name_both_sizes(tmp_path, target):
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), blank(*target))
    said = f"'a': the input has 8 x 8 px, the target {target[1]} x {target[0]} px; a target is 1, 2, 4 or 8 times"
    with pytest.raises(SizeError, match=said):
        measure(source_of(tmp_path))


def test_pairs_of_two_ratios(tmp_path):
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), blank(16, 16))
    image_pairs.put(tmp_path, "b.tif", blank(8, 8), blank(32, 32))
    with pytest.raises(SizeError, match="the target of 'a' is 2 times as large as its input, that of 'b' 4 times"):
        measure(source_of(tmp_path))


def test_images_without_partner_are_named(tmp_path):
    image_pairs.write(tmp_path, 6)
    for number in (1, 2, 3, 5):
        (tmp_path / "Y" / f"im{number}.tif").unlink()
    said = "4 of 6 images of 'X' have no partner in 'Y': im1, im2, im3, ...; an input and its target have the same name"
    with pytest.raises(PairingError, match=said):
        measure(source_of(tmp_path))
    image_pairs.write(tmp_path, 6)
    (tmp_path / "X" / "im4.tif").unlink()
    with pytest.raises(PairingError, match="1 of 6 images of 'Y' have no partner in 'X': im4;"):
        measure(source_of(tmp_path))


def test_two_ways_of_naming_are_shown_beside_each_other(tmp_path):
    image_pairs.write(tmp_path, 4)
    for number in range(4):
        (tmp_path / "Y" / f"im{number}.tif").rename(tmp_path / "Y" / f"hr_{number}.tif")
    said = r"4 of 4 images of 'X' have no partner in 'Y' \(hr_0, hr_1, hr_2, ...\): im0, im1, im2, ...; an input"
    with pytest.raises(PairingError, match=said):
        measure(source_of(tmp_path))


def test_images_one_folder_deeper_are_pointed_at(tmp_path):
    image_pairs.write(tmp_path / "deep", 1)
    with pytest.raises(FormatError, match="'.*deep' has no images; .*; give a folder of images, perhaps 'deep/X'"):
        image_files(tmp_path / "deep")


def test_one_name_twice_and_one_folder_twice(tmp_path):
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), blank(8, 8))
    image_pairs.put(tmp_path, "a.png", blank(8, 8), blank(8, 8))
    with pytest.raises(PairingError, match="'a.png' and 'a.tif' of 'X' have one name"):
        measure(source_of(tmp_path))
    with pytest.raises(PairingError, match="input and target are both"):
        measure(ImagesSource(input=tmp_path / "X", target=tmp_path / "X"))


def test_pages_of_stacks_are_pairs(tmp_path):
    stack = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
    image_pairs.put(tmp_path, "s.tif", stack, stack.repeat(2, axis=1).repeat(2, axis=2))
    pages = measure(source_of(tmp_path)).pages
    assert [page.label for page in pages] == ["s[0]", "s[1]", "s[2]"]
    image_pairs.put(tmp_path, "s.tif", stack, stack[:2])
    with pytest.raises(PairingError, match="'s' has 3 pages as input and 2 as target"):
        measure(source_of(tmp_path))


def test_what_lies_beside_images(tmp_path):
    image_pairs.write(tmp_path, 1)
    for name in (".hidden", "Thumbs.db", "notes.txt"):
        (tmp_path / "X" / name).write_text("x")
    (tmp_path / "X" / "inner").mkdir()
    assert [file.name for file in image_files(tmp_path / "X")] == ["im0.tif"]
    (tmp_path / "X" / "raw.czi").write_text("x")
    with pytest.raises(FormatError, match=r"'X/raw.czi' is no image; accepted: .tif .tiff .png"):
        measure(source_of(tmp_path))


def test_natural_order_is_total():
    names = ["a10", "a9", "a09", "b", "a", "A2", "10", "9"]
    ordered = sorted(names, key=natural)
    names.reverse()
    assert ordered == sorted(names, key=natural)
    assert [name for name in ordered if name.startswith("a1") or name == "a9"] == ["a9", "a10"]


def test_colour_and_broken_files(tmp_path):
    image_pairs.put(tmp_path, "a.png", np.zeros((8, 8, 3), np.uint8), blank(8, 8, np.uint8))
    with pytest.raises(FormatError, match=r"'X/a.png' is in colour \(RGB\); save it as a grey image"):
        measure(source_of(tmp_path))
    (tmp_path / "X" / "a.png").write_bytes(b"no image")
    with pytest.raises(FormatError, match="'X/a.png' is not a readable image"):
        measure(source_of(tmp_path))
    image_pairs.put(tmp_path / "t", "a.tif", blank(8, 8), blank(8, 8))
    tifffile.imwrite(tmp_path / "t" / "Y" / "a.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="colour or volumes"):
        measure(source_of(tmp_path / "t"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_is_read_as_it_is(tmp_path, dtype):
    values = np.arange(80, dtype=dtype).reshape(8, 10) * 3
    image_pairs.put(tmp_path, "a.png", values, values)
    page = open_pages(tmp_path / "X" / "a.png")
    assert (page.n_frames, page.height, page.width, page.dtype) == (1, 8, 10, dtype)
    np.testing.assert_array_equal(page.read(0, 1)[0], values)


def test_nan_is_found_before_training(tmp_path):
    wanted = blank(8, 8, np.float32)
    wanted[3, 4] = np.nan
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), wanted)
    with pytest.raises(FormatError, match="'Y/a.tif' page 0 has NaN or infinite pixels"):
        check_values(measure(source_of(tmp_path)))


def test_a_changed_file_is_measured_anew(tmp_path):
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), blank(16, 16))
    assert measure(source_of(tmp_path)).ratio == 2
    image_pairs.put(tmp_path, "a.tif", blank(8, 8), blank(32, 32))
    assert measure(source_of(tmp_path)).ratio == 4


def roles(names, **part):
    return cut_pairs(names, PairsPart(role="train", rule="files", **part))


def test_the_cut_depends_on_names_alone():
    names = [f"im{number}" for number in range(40)]
    cut = roles(names)
    assert cut == roles(names[::-1])
    assert [sum(role == name for role in cut.values()) for name in ("train", "val", "test")] == [28, 6, 6]
    # sha256 of the names decides: the same on every machine
    assert sorted(name for name, role in cut.items() if role == "val") == VALIDATION
    assert set(roles(names, test=0).values()) == {"train", "val"}


VALIDATION = ["im0", "im13", "im17", "im31", "im4", "im5"]


def test_too_few_pairs_to_cut():
    assert sorted(roles(["a", "b", "c"]).values()) == ["test", "train", "val"]
    with pytest.raises(
        SizeError,
        match=r"2 pairs of files with targets of their own cannot be cut into train, val and test; give more pairs",
    ):
        roles(["a", "b"])
    with pytest.raises(
        SizeError, match="1 pair of files with targets of their own cannot be cut into train and val; give more"
    ):
        roles(["a"], test=0)


def test_stacks_are_cut_by_file_unless_their_pages_are_independent(tmp_path):
    stack = np.zeros((4, 8, 8), dtype=np.uint16)
    for number, name in enumerate(("a.tif", "b.tif", "c.tif")):
        image_pairs.put(tmp_path, name, stack, stack + np.uint16(number))
    parts = {}
    for rule in ("files", "pages"):
        for role in ("train", "val", "test"):
            part = PairsPart(role=role, rule=rule)
            parts[rule, role] = [page.label for page in source_of(tmp_path, part=part).pages]
    by_file = [{label[0] for label in parts["files", role]} for role in ("train", "val", "test")]
    assert [len(names) for names in by_file] == [1, 1, 1]
    assert [len(parts["pages", role]) for role in ("train", "val", "test")] == [8, 2, 2]
    everything = [label for role in ("train", "val", "test") for label in parts["pages", role]]
    assert sorted(everything) == sorted(page.label for page in measure(source_of(tmp_path)).pages)


def test_inputs_of_one_target_stay_together(tmp_path):
    for number in range(12):
        image_pairs.put(
            tmp_path, f"im{number}.tif", blank(8, 8) + np.uint16(number), blank(8, 8) + np.uint16(number % 3)
        )
    parts = [PairsPart(role=role, rule="files") for role in ("train", "val", "test")]
    found = [{int(page.name[2:]) % 3 for page in source_of(tmp_path, part=part).pages} for part in parts]
    assert sorted(map(len, found)) == [1, 1, 1]
    assert set.union(*found) == {0, 1, 2}


def test_identity_is_of_names_and_bytes_not_of_folders(tmp_path):
    for folder in ("one", "two"):
        image_pairs.write(tmp_path / folder, 3)
    one, two = source_of(tmp_path / "one"), source_of(tmp_path / "two")
    assert one.content()["pairs_sha256"] == two.content()["pairs_sha256"]
    assert one.content() == two.content()
    assert str(tmp_path) not in str(one.content())
    assert one.content() != one.model_copy(update={"pixel_size_nm": 100.0}).content()
    given, wanted = image_pairs.draw(99, 16, 2)
    image_pairs.put(tmp_path / "two", "im1.tif", given, wanted)
    assert one.content()["pairs_sha256"] != two.content()["pairs_sha256"]
