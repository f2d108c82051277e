"""Calibrations, clouds, depth images and stamps, as honest and other publishers send them."""

from __future__ import annotations

import array
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest

from regseg_core.errors import FrameError
from regseg_core.geometry.camera_model import CalibrationError
from regseg_core.geometry.ground import Pose
from regseg_core.geometry.points import PLACE
from regseg_ros.geometry.calibration import camera_model, scaled_info
from regseg_ros.geometry.clouds import cloud_message, coordinates, depths
from regseg_ros.geometry.pairs import Kept, Pairs
from regseg_ros.geometry.transforms import Transforms

INFO = CameraInfo(
    width=640,
    height=480,
    distortion_model="plumb_bob",
    d=[-0.3, 0.1, 0.0, 0.0, 0.0],
    k=[500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0],
    p=[450.0, 0.0, 300.0, -45.0, 0.0, 450.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0],
)


def changed(**fields: Any) -> CameraInfo:
    info = CameraInfo(**{n: getattr(INFO, n) for n in INFO.get_fields_and_field_types()})
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def test_a_calibration_is_that_of_the_images_that_come() -> None:
    plain = camera_model(INFO)
    assert (plain.fx, plain.fy, plain.cx, plain.cy) == (500, 510, 319.5, 239.5)
    assert plain.distortion == (-0.3, 0.1, 0, 0, 0)
    rectified = camera_model(INFO, rectified=True)
    assert (rectified.fx, rectified.cx, rectified.distortion) == (450, 300, ())
    region = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=200)
    part = camera_model(changed(roi=region, binning_x=2, binning_y=2))
    assert (part.width, part.height) == (200, 100)
    assert (part.fx, part.fy, part.cx) == (250, 255, (319.5 - 100) / 2)


def test_the_calibration_of_a_smaller_image_sees_the_same() -> None:
    small = scaled_info(INFO, 160, 120)
    assert (small.width, small.height, small.k[0]) == (160, 120, 125)
    point = np.array([[0.3, -0.2, 2.0]])
    at, below = camera_model(INFO).project(point)[0], camera_model(small).project(point)[0]
    assert below == pytest.approx((at + 0.5) / 4 - 0.5)
    assert small.p[0] == 112.5 and small.p[3] / small.p[0] == pytest.approx(-0.1), "0.1 m beside"
    above = scaled_info(changed(p=[*INFO.p[:7], -90.0, *INFO.p[8:]]), 160, 60)
    assert above.p[7] / above.p[5] == pytest.approx(-0.2), "0.2 m above, by fy"
    assert (INFO.width, INFO.k[0]) == (640, 500), "the given one stays"
    with pytest.raises(CalibrationError, match="not calibrated"):
        scaled_info(changed(k=[0.0] * 9), 160, 120)


def cloud(**fields: Any) -> PointCloud2:
    points = np.zeros(6, PLACE)
    points["x"], points["y"], points["z"] = np.arange(18).reshape(3, 6)
    message = cloud_message(points, INFO.header)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_points_come_back_from_a_message_in_any_layout() -> None:
    expected = np.arange(18).reshape(3, 6).T
    assert np.array_equal(coordinates(cloud()), expected)
    # As drivers send it: y before x, an intensity between, rows padded, high bytes first.
    layout = np.dtype({"names": ["y", "i", "x", "z"], "formats": [">f4"] * 4, "itemsize": 20})
    rows = np.zeros((2, 4), layout)
    for axis, column in zip("xyz", expected.T, strict=True):
        rows[axis][:, :3] = column.reshape(2, 3)
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("yixz")]
    odd = PointCloud2(height=2, width=3, fields=fields, point_step=20, row_step=80)
    odd.is_bigendian, odd.data = True, array.array("B", rows.tobytes())
    assert np.array_equal(coordinates(odd), expected)
    assert coordinates(cloud(width=0, row_step=0)).shape == (0, 3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"fields": []}, "the cloud has no float32 x, y, z"),
        ({"point_step": 8}, "point_step 8 and row_step 72 do not fit its fields"),
        ({"row_step": 60}, "point_step 12 and row_step 60 do not fit"),
        ({"height": 2}, "the cloud has 72 bytes, fewer than its rows need"),
    ],
)
def test_clouds_that_contradict_themselves_are_refused(fields: Any, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        coordinates(cloud(**fields))


def depth(**fields: Any) -> Image:
    data = np.arange(12, dtype="<u2").reshape(3, 4)
    padded = np.pad(data, ((0, 0), (0, 2)), constant_values=999)
    message = Image(height=3, width=4, encoding="16UC1", step=12)
    message.data = array.array("B", padded.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_depth_is_read_with_padding_and_either_byte_order() -> None:
    expected = np.arange(12).reshape(3, 4)
    assert np.array_equal(depths(depth()), expected)
    swapped = np.frombuffer(depth().data, "<u2").astype(">u2").tobytes()
    big = depths(depth(is_bigendian=1, data=array.array("B", swapped)))
    assert np.array_equal(big, expected) and big.dtype == np.uint16


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "rgb8"}, "depth comes as 'rgb8': give 16UC1"),
        ({"height": 0}, "depth of 4 x 0 pixels"),
        ({"step": 7}, "with a step of 7"),
        ({"height": 9}, "depth has 36 bytes, fewer than its rows need"),
    ],
)
def test_depth_that_contradicts_itself_is_refused(fields: Any, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        depths(depth(**fields))


def paired(images: list[int], messages: list[int], slop: float) -> tuple[Any, float | None]:
    kept: Kept[int] = Kept()
    pairs: Pairs[int, int] = Pairs()
    for stamp in images:
        pairs.wait(stamp, stamp)
    for stamp in messages:
        kept.add(stamp, stamp)
    return pairs.take(kept, slop), pairs.apart()


def test_images_wait_for_what_was_measured_with_them() -> None:
    ms = 1_000_000
    assert paired([100 * ms], [100 * ms], 0.0) == ((100 * ms, 100 * ms), None)
    assert paired([100 * ms], [90 * ms], 0.05) == (None, None), "a nearer one may still come"
    assert paired([100 * ms], [90 * ms, 123 * ms], 0.05) == ((100 * ms, 90 * ms), None)
    assert paired([100 * ms, 133 * ms], [100 * ms, 133 * ms], 0.0)[0] == (133 * ms, 133 * ms)
    none, apart = paired([100 * ms], [400 * ms], 0.05)
    assert none is None and apart == pytest.approx(0.3)
    kept: Kept[int] = Kept()
    for stamp in range(200):
        kept.add(stamp, stamp)
    assert len(kept.items()) == 100 and kept.best(195) == 195 and kept.best(3) == 199
    kept.add(195, 950)
    assert kept.best(3) == 950, "what came last, also under a stamp that was there"


def test_depth_waits_for_a_slow_network_and_large_depth_for_a_fast_one() -> None:
    kept: Kept[Image] = Kept()
    for size, least, most in ((600_000, 60, 110), (8_000_000, 20, 20), (600_000, 60, 110)):
        one = Image(data=array.array("B", bytes(size)))  # the same one, as memory is short
        for stamp in range(200):
            kept.add(stamp, one)
        assert least <= len(kept.items()) <= most


def test_a_sensor_whose_clock_is_behind_is_noticed() -> None:
    """No message of it is ever as late as an image, so that none would be decided."""
    kept: Kept[int] = Kept()
    pairs: Pairs[int, int] = Pairs()
    for number in range(30):
        kept.add(number * 33_000_000, number)
        pairs.wait(10_000_000_000 + number * 33_000_000, number)
        assert pairs.take(kept, 0.05) is None
    assert pairs.apart() == pytest.approx(-9.7, abs=0.1)


def test_pairs_are_found_again_where_time_begins_anew() -> None:
    """A bag in a loop, or a simulator that is reset; the lidar comes later than its image."""
    kept: Kept[tuple[int, int]] = Kept()
    pairs: Pairs[tuple[int, int], tuple[int, int]] = Pairs()
    for lap in range(3):
        taken = []
        for number in range(120):
            stamp, what = number * 100_000_000, (lap, number)
            pairs.wait(stamp, what)
            taken.append(pairs.take(kept, 0.05))
            kept.add(stamp, what)
            taken.append(pairs.take(kept, 0.05))
        # A lap's first image comes while no message of it is there.
        same = [((lap, number), (lap, number)) for number in range(1 if lap else 0, 120)]
        assert [pair for pair in taken if pair] == same
        assert pairs.apart() is None


def test_no_image_of_the_last_lap_meets_a_message_of_this_one() -> None:
    kept: Kept[str] = Kept()
    pairs: Pairs[str, str] = Pairs()
    second = 1_000_000_000
    for lap in ("first", "second"):
        for number in range(3):
            pairs.wait(100 * second + number, lap)  # whose messages come late, or never
        if lap == "first":
            kept.add(99 * second, lap)
            assert pairs.take(kept, 0.05) is None
            pairs.wait(2 * second, lap)  # time begins anew
            kept.add(2 * second, lap)
            assert pairs.take(kept, 0.05) == (lap, lap)
    kept.add(100 * second, "second")
    assert pairs.take(kept, 0.05) == ("second", "second")


def test_messages_that_overtake_each_other_are_kept() -> None:
    kept: Kept[int] = Kept()
    for stamp in (5_000_000_000, 5_200_000_000, 4_300_000_000, 5_300_000_000):
        kept.add(stamp, stamp)
    assert len(kept.items()) == 4


def test_images_between_two_messages_are_no_trouble() -> None:
    """A camera of 30 Hz and depth of 15 Hz, exactly paired: every other image has none."""
    kept: Kept[int] = Kept()
    pairs: Pairs[int, int] = Pairs()
    pairs.wait(0, 0)
    for second in range(3):
        taken = []
        for number in range(second * 15, second * 15 + 15):
            kept.add(number * 66, number)
            taken.append(pairs.take(kept, 0.0))
            pairs.wait(number * 66 + 33, -1)
            pairs.wait(number * 66 + 66, number + 1)
        assert all(taken) and pairs.apart() is None
    # And then none at all, which the last image between two shows.
    for number in range(50, 55):
        kept.add(number * 66, number)
        pairs.wait(number * 66 + 33, -1)
        pairs.take(kept, 0.0)
    pairs.apart()
    assert pairs.apart() == pytest.approx(-33e-9)


def test_transforms_come_from_tf_or_say_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transforms = Transforms(node=None)
    assert np.array_equal(transforms.find("a", "a", "x"), np.eye(4))
    with pytest.raises(CalibrationError, match="tf2_ros is not installed: install it, or set it"):
        transforms.find("base_link", "lens", "it")
    monkeypatch.syspath_prepend(str(ROOT / "test" / "support" / "tf2"))
    known = tmp_path / "tf.json"
    monkeypatch.setenv("TF2_STAND_IN", str(known))
    known.write_text("{}")
    with pytest.raises(CalibrationError, match=r"no way from 'lens' to 'base_link' .*publish it"):
        transforms.find("base_link", "lens", "it")
    # Looks ahead, half a metre before the robot's middle, 1.2 m high.
    ahead = [0.5, 0.0, 1.2, -0.5, 0.5, -0.5, 0.5]
    known.write_text(json.dumps({"base_link lens": ahead}))
    pose = Pose.of(transforms.find("base_link", "lens", "it"))
    assert (pose.height, pose.ahead, pose.left) == (1.2, 0.5, 0)
    assert (pose.pitch, pose.roll, pose.yaw) == pytest.approx((0, 0, 0), abs=1e-12)
    known.write_text(json.dumps({"base_link lens": [float("nan"), *ahead[1:]]}))
    with pytest.raises(CalibrationError, match="the transform to the camera holds NaN"):
        transforms.find("base_link", "lens", "it")
