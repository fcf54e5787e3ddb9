from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import io

from smlmbench.errors import FormatError, SizeError
from smlmbench.formats import mat_image, tiff_image

IMAGE = np.arange(12, dtype=np.float64).reshape(3, 4)


@pytest.mark.parametrize("variable", ["", "Recovery"])
def test_the_only_array_of_a_matlab_file(tmp_path: Path, variable: str) -> None:
    io.savemat(tmp_path / "a.mat", {"Recovery": IMAGE, "pixel": 12.5, "note": "text"})
    assert mat_image.recognises(tmp_path / "a.mat")
    image = mat_image.read_image(tmp_path / "a.mat", {"variable": variable})
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize(
    ("content", "variable", "message"),
    [
        ({"a": IMAGE, "b": IMAGE}, "", r"has 2 2-D arrays \(a, b\); name one with variable"),
        ({"s": 3.0}, "", r"has 0 2-D arrays \(none\)"),
        ({"Recovery": IMAGE}, "recovery", "has no 2-D array 'recovery'; did you mean 'Recovery'"),
        ({"c": IMAGE + 1j}, "", "complex"),
    ],
)
def test_matlab_files_that_leave_doubt(tmp_path: Path, content: dict[str, Any], variable: str, message: str) -> None:
    io.savemat(tmp_path / "a.mat", content)
    with pytest.raises(FormatError, match=message):
        mat_image.read_image(tmp_path / "a.mat", {"variable": variable})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\0" * 400, "save it with -v7"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\x0f\0\0\0\xff\xff\0\0cut", "not a readable MATLAB file"),
    ],
)
def test_matlab_files_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    assert mat_image.recognises(tmp_path / "a.mat")
    with pytest.raises(FormatError, match=message):
        mat_image.read_image(tmp_path / "a.mat", {"variable": ""})


def test_a_rendered_image_states_its_pixel_in_nm(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiff_image.write_image(path, IMAGE, 12.5)
    np.testing.assert_array_equal(tiff_image.read_image(path, {"page": None}), IMAGE.astype(np.float32))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert file.is_imagej
        assert page.dtype == np.float32
        assert file.imagej_metadata["unit"] == "nm"
        assert "outer corner" in page.description
        for tag in ("XResolution", "YResolution"):
            numerator, denominator = page.tags[tag].value
            assert denominator / numerator == pytest.approx(12.5, rel=1e-6)


def test_the_page_of_a_stack_must_be_named(tmp_path: Path) -> None:
    stack = np.stack([IMAGE, IMAGE + 100]).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(FormatError, match=r"has 2 pages; say which with page: 0 \.\.\. 1"):
        tiff_image.read_image(tmp_path / "a.tif", {"page": None})
    np.testing.assert_array_equal(tiff_image.read_image(tmp_path / "a.tif", {"page": 1.0}), stack[1])
    for page in (2.0, 0.5):
        with pytest.raises(FormatError, match="has no page"):
            tiff_image.read_image(tmp_path / "a.tif", {"page": page})


def test_only_images_with_a_pixel_size_are_written(tmp_path: Path) -> None:
    with pytest.raises(SizeError):
        tiff_image.write_image(tmp_path / "a.tif", IMAGE[None], 12.5)
    with pytest.raises(SizeError):
        tiff_image.write_image(tmp_path / "a.tif", IMAGE, 0.0)
    with pytest.raises(FormatError, match="existing folder"):
        tiff_image.write_image(tmp_path / "no" / "a.tif", IMAGE, 10.0)
