"""Movies cut over several files, or with their pages out of order, are read whole and in order, or refused."""

import tempfile
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from smlmbench.errors import FormatError, LossWarning
from smlmbench.formats import companions, open_movie, read_image, write_movie
from smlmbench.formats.numbered import PART
from smlmbench.movies import ArrayMovie
from smlmbench.registry import Catalog

CATALOG = Catalog()
STEMS = ("a_MMStack_Pos0", "a_MMStack", "a_1_MMStack_1-Pos_000_001", "b_MMStack_Default", "acq_NDTiffStack")
SUFFIXES = (".tif", ".ome.tif", ".tiff")


def frames(count: int) -> np.ndarray:
    return (np.arange(count, dtype=np.uint16)[:, None, None] * 100 + np.arange(20, dtype=np.uint16)).reshape(
        count, 4, 5
    )


def read(path: Path) -> np.ndarray:
    with closing(open_movie(path, catalog=CATALOG)) as movie:
        return np.asarray(movie.read(0, movie.n_frames))


def ome(places: list[int | None]) -> str:
    """OME metadata of one file that say in which page each frame is; None for a frame that was never written."""
    data = "".join(
        f'<TiffData IFD="{page}" FirstT="{time}" FirstZ="0" FirstC="0" PlaneCount="1"/>'
        for time, page in enumerate(places)
        if page is not None
    )
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint16" SizeX="5" SizeY="4" SizeZ="1" SizeC="1" SizeT="{len(places)}">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )


def write(path: Path, pages: np.ndarray, text: str | None = None) -> None:
    with tifffile.TiffWriter(path, ome=False) as file:
        for number, page in enumerate(pages):
            file.write(page, description=text if number == 0 else None, metadata=None)


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    stem=st.sampled_from(STEMS),
    suffix=st.sampled_from(SUFFIXES),
    data=st.data(),
)
def test_a_stack_that_was_cut_is_read_whole_from_any_of_its_parts(cuts, stem, suffix, data):
    whole = frames(sum(cuts))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{stem}{f'_{k}' if k else ''}{suffix}" for k in range(len(cuts))]
        for path, part in zip(paths, np.split(whole, np.cumsum(cuts)[:-1]), strict=True):
            write(path, part)
        given_path = data.draw(st.sampled_from(paths))
        np.testing.assert_array_equal(read(given_path), whole)
        assert companions(given_path) == sorted(set(paths) - {given_path})
        # A file that only looks alike is no part.
        other = Path(folder) / f"other{suffix}"
        write(other, whole[:1])
        np.testing.assert_array_equal(read(other), whole[:1])


@settings(max_examples=25)
@given(order=st.permutations(range(6)), absent=st.none() | st.integers(0, 5))
def test_frames_come_in_the_order_of_the_metadata_and_none_is_missing(order, absent):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.tif"
        if absent is None:
            write(path, frames(6), ome(list(order)))
            np.testing.assert_array_equal(read(path), frames(6)[list(order)])
            return
        pages = iter(np.argsort(np.argsort([page for time, page in enumerate(order) if time != absent])))
        write(path, frames(5), ome([None if time == absent else int(next(pages)) for time in range(6)]))
        if absent == 5:  # never taken: the numbers of all others hold
            left = np.argsort(np.argsort(order[:5]))
            np.testing.assert_array_equal(read(path), frames(5)[left])
            return
        with pytest.raises(FormatError, match="state 6 frames but 1 are in no file"):
            read(path)


@settings(max_examples=15)
@given(sides=st.lists(st.integers(1, 3), min_size=2, max_size=3))
def test_more_than_one_movie_in_a_file_is_refused(sides):
    values = np.arange(int(np.prod(sides)) * 20, dtype=np.uint16).reshape(*sides, 4, 5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        tifffile.imwrite(path, values, photometric="minisblack")
        if sum(side > 1 for side in sides) > 1:
            with pytest.raises(FormatError, match="not one movie"):
                read(path)
        else:
            np.testing.assert_array_equal(read(path), values.reshape(-1, 4, 5))


def test_a_part_that_only_points_to_the_metadata_is_the_whole_movie(tmp_path):
    first, second = tmp_path / "a_MMStack_Pos0.ome.tif", tmp_path / "a_MMStack_Pos0_1.ome.tif"
    named = [(first.name, 0), (first.name, 1), (second.name, 0)]
    text = ome([page for _, page in named])
    for time, (name, page) in enumerate(named):
        unit = f'IFD="{page}" FirstT="{time}" FirstZ="0" FirstC="0" PlaneCount="1"'
        uuid = f"urn:uuid:0000000{int(name == second.name)}-0000-0000-0000-000000000000"
        text = text.replace(f"<TiffData {unit}/>", f'<TiffData {unit}><UUID FileName="{name}">{uuid}</UUID></TiffData>')
    write(first, frames(2), text.replace("<OME ", '<OME UUID="urn:uuid:00000000-0000-0000-0000-000000000000" ', 1))
    only = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000001-0000-0000-0000-000000000000">'
        f'<BinaryOnly MetadataFile="{first.name}" UUID="urn:uuid:00000000-0000-0000-0000-000000000000"/></OME>'
    )
    write(second, frames(3)[2:], only)
    np.testing.assert_array_equal(read(second), frames(3))
    np.testing.assert_array_equal(read(first), frames(3))
    first.unlink()
    with pytest.raises(FormatError, match=r"not beside it: a_MMStack_Pos0.ome.tif; copy them there"):
        read(second)


def test_fewer_pages_than_are_stated_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, imagej=True) as file:
        file.write(frames(5))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"images=5\n", b"images=7\n", 1))
    with pytest.raises(FormatError, match="7"):
        read(path)


NAMES = st.text("abmMX_-. 07", min_size=1, max_size=8).filter(lambda name: name.strip(". ") == name and name[0] != "-")
JOINS = ("", "_", "-", " ", "_X", "-x", "_part", "_stack_", "(")


@settings(max_examples=40)
@given(
    name=NAMES,
    join=st.sampled_from(JOINS),
    cuts=st.sampled_from([(2, 3, 2), (3, 2, 2, 1), (2,) * 11]),
    start=st.integers(0, 3),
    digits=st.integers(1, 4),
    left_out=st.none() | st.integers(0, 11),
    suffix=st.sampled_from(SUFFIXES),
)
@example(name="m", join="_", cuts=(2,) * 11, start=1, digits=1, left_out=None, suffix=".tif")
def test_a_folder_of_stacks_is_one_movie_in_natural_order_or_refused(name, join, cuts, start, digits, left_out, suffix):
    whole = frames(sum(cuts))
    name += "m" if join == "" and name[-1].isdigit() else ""
    with tempfile.TemporaryDirectory() as folder:
        end = ")" if join == "(" else ""
        parts = list(enumerate(np.split(whole, np.cumsum(cuts)[:-1]), start))
        for number, part in parts:
            if left_out is None or number != start + left_out % len(cuts):
                write(Path(folder) / f"{name}{join}{number:0{digits}}{end}{suffix}", part)
        try:
            found = read(Path(folder))
        except FormatError as error:
            assert "\n" not in str(error)  # noqa: PT017  it may also be read
            assert left_out is not None or start > 1 or "MMStack" in name
            return
        last = left_out is not None and left_out % len(cuts) == len(cuts) - 1  # nobody can know of it
        first = left_out is not None and left_out % len(cuts) == 0 and start == 0  # nor that this began with 0
        assert left_out is None or last or first
        expected = np.concatenate([part for number, part in parts if not (last and number == parts[-1][0])])
        np.testing.assert_array_equal(found, expected[cuts[0] if first else 0 :])


@settings(max_examples=25)
@given(
    word=st.sampled_from(["C", "ch", "_Pos", " site ", "-z", "cell", "w", "_run_"]),
    count=st.integers(2, 4),
)
def test_stacks_that_are_numbered_by_another_axis_are_no_movie(word, count):
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            write(Path(folder) / f"beads 3_{word}{number}.tif", frames(3))
        with pytest.raises(FormatError, match="perhaps several movies; give one of them"):
            read(Path(folder))


@pytest.mark.parametrize("numbers", [(1, 2), (2, 3, 4), (2,)])
@pytest.mark.parametrize("join", ["_", "_X", "-"])
def test_a_stack_without_a_number_comes_before_those_with_one(tmp_path, numbers, join):
    whole = frames(2 * len(numbers) + 2)
    names = ["movie.tif", *(f"movie{join}{number}.tif" for number in numbers)]
    for name, part in zip(names, np.split(whole, len(names)), strict=True):
        write(tmp_path / name, part)
    np.testing.assert_array_equal(read(tmp_path), whole)
    for name in names:  # a part that is given alone is told from the whole
        with pytest.warns(LossWarning, match=f"'{name}' is read alone, 2 frames; {len(numbers)} files beside it"):
            read(tmp_path / name)
    (tmp_path / names[1]).rename(tmp_path / f"movie{join}7.tif")
    with pytest.raises(FormatError):
        read(tmp_path)


@settings(max_examples=25)
@given(name=NAMES, join=st.sampled_from(JOINS), other=st.sampled_from(["shape", "type", "far", "alone", "same"]))
def test_a_file_is_told_from_the_whole_only_where_others_continue_it(name, join, other):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}{join}1.tif"
        write(path, frames(3))
        if other != "alone":
            beside = Path(folder) / f"{name}{join}{9 if other == 'far' else 2}.tif"
            write(beside, frames(2)[:, 1:] if other == "shape" else frames(2).astype("f4" if other == "type" else "u2"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            np.testing.assert_array_equal(read(path), frames(3))
        expected = other == "same" and PART.fullmatch(path.stem) is not None
        assert [each.category for each in caught] == [LossWarning] * expected


def test_a_cut_stack_with_a_part_missing_is_refused(tmp_path):
    for number in (0, 1, 3):
        write(tmp_path / f"a_MMStack_Pos0{f'_{number}' if number else ''}.tif", frames(2))
    with pytest.raises(FormatError, match=r"not beside it: a_MMStack_Pos0_2.tif; copy them there"):
        read(tmp_path / "a_MMStack_Pos0.tif")


@pytest.mark.parametrize(
    ("given_pages", "said"),
    [
        ({"a1.tif": frames(2), "a2.tif": frames(2)[:, 1:]}, "a movie has frames of one shape"),
        ({"a1.tif": frames(2), "a2.tif": frames(2).astype("f4")}, "a movie has frames of one shape"),
        ({"a1.tif": frames(2), "b2.tif": frames(2)}, "in doubt"),
        ({"a1.tif": frames(2), "MAX_a1.tif": frames(1)}, "in doubt"),
        ({"a1_1.tif": frames(2), "a2_2.tif": frames(2)}, "in doubt"),
        ({"a0.tif": frames(2), "a10.tif": frames(2)}, "numbered 0, 10 where 0 or 1 comes first"),
        ({"a5.tif": frames(2), "a6.tif": frames(2)}, "numbered 5, 6 where 0 or 1 comes first"),
        ({"a1.tif": frames(1), "a2.tif": frames(2)}, "'a2.tif' has 2 pages"),
        ({"a.tif": frames(2), "a_3.tif": frames(2)}, "numbered 3 where 1 or 2 comes first"),
    ],
)
def test_folders_of_stacks_that_are_refused(tmp_path, given_pages, said):
    for name, pages in given_pages.items():
        write(tmp_path / name, pages)
    with pytest.raises(FormatError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_later_part_of_a_cut_stack_alone_is_told(tmp_path):
    for name in ("a_MMStack_Pos0_1.tif", "acq_NDTiffStack_2.tif"):
        write(tmp_path / name, frames(2))
        with pytest.warns(LossWarning, match=f"'{name}' is read alone, 2 frames; it is named as a later part of '"):
            read(tmp_path / name)
    write(tmp_path / "a_MMStack_1-Pos_000_001.tif", frames(2))  # a place of a grid
    read(tmp_path / "a_MMStack_1-Pos_000_001.tif")


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
    how=st.sampled_from(["ours", "pages", "imwrite", "axes", "imagej", "ome", "zlib", "folder", "raw"]),
)
def test_frames_of_few_pixels_are_read_as_they_are_or_refused(shape, how):
    assume(how != "imagej" or shape[2] > 1 or shape[0] > 1)  # written as an image of one row, which nobody can tell
    values = (np.arange(int(np.prod(shape))) + 1).reshape(shape).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.raw" if how == "raw" else "a.tif")
        if how == "ours":
            write_movie(ArrayMovie(values), path, catalog=CATALOG)
        elif how == "pages":
            write(path, values)
        elif how == "raw":
            path.write_bytes(values.tobytes())
            facts = f"Frames: {shape[0]}\nHeight: {shape[1]}\nWidth: {shape[2]}\n"
            path.with_suffix(".yaml").write_text(f"Byte Order: <\nData Type: uint16\n{facts}")
        elif how == "folder":
            path = Path(folder)
            for number, page in enumerate(values):
                write(path / f"f{number}.tif", page[None])
        else:
            words = {"axes": {"metadata": {"axes": "TYX"}}, "imagej": {"imagej": True, "metadata": {"axes": "TYX"}}}
            words |= {"zlib": {"compression": "zlib"}, "ome": {"ome": True, "metadata": {"axes": "TYX"}}, "imwrite": {}}
            tifffile.imwrite(path, values, photometric="minisblack", **words[how])
        try:
            np.testing.assert_array_equal(read(path), values)
        except FormatError as error:
            assert "\n" not in str(error)  # noqa: PT017  it may also be read
            assert shape[2] == 1  # one column: tifffile takes it for an axis of its own
            assert how in ("imwrite", "imagej", "zlib")


def test_frames_of_one_column_in_one_page(tmp_path):
    values = np.arange(240, dtype=np.uint16).reshape(6, 40, 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "TYX"})
    np.testing.assert_array_equal(read(path), values)
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "TYX"}, compression="zlib")
    with pytest.raises(FormatError, match="frames of 40 x 1 px in one compressed page"):
        read(path)
    tifffile.imwrite(path, values, photometric="minisblack")
    with pytest.raises(FormatError, match="states 6 x 40 x 1 pixels and not which axis is time"):
        read(path)
    assert read_image(path, catalog=CATALOG).shape == (6, 40)  # an image with an axis of channels
