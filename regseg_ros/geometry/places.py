"""One camera's topics that say where things are; what they need is heard while they are wanted."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from regseg_core import Segmentation
from regseg_core.arrays import Doubles
from regseg_core.errors import ArgumentError, FrameError
from regseg_core.geometry.camera_model import CalibrationError, CameraModel
from regseg_core.geometry.lidar import transform
from regseg_ros import parameters
from regseg_ros.geometry.clouds import coordinates, depths
from regseg_ros.geometry.companion import Companion
from regseg_ros.geometry.mounting import Mounting
from regseg_ros.geometry.pairs import Pairs, nanoseconds
from regseg_ros.geometry.products import DEPTH, GROUND, POINTS, PRODUCTS
from regseg_ros.geometry.scene import Cloud, Depth, Scene
from regseg_ros.geometry.transforms import Transforms
from regseg_ros.logs import THROTTLE
from regseg_ros.mailbox import Mailbox
from regseg_ros.settings import CameraSettings, SegmenterSettings
from regseg_ros.watch import Remark, Watch

#: What keeps a product from being made, each with what to do.
_OBSTACLES = (CalibrationError, FrameError, ArgumentError)


@dataclass(frozen=True, eq=False)
class Segmented:
    """A segmentation, and how its places are to be made."""

    result: Segmentation
    header: Header
    settings: SegmenterSettings


class Places:
    """Publishes `PRODUCTS` of one camera.

    `infos`: its calibrations. `create` makes a publisher of a type and name.
    """

    def __init__(
        self,
        node: LifecycleNode,
        camera: str,
        infos: Companion,
        transforms: Transforms,
        create: Callable[[Any, str], Any],
    ) -> None:
        self._node, self._camera, self._infos = node, camera, infos
        self._transforms, self._mounting = transforms, Mounting(transforms)
        self._publishers = {name: create(row.kind, name) for name, row in PRODUCTS.items()}
        settings = self._settings
        self._depth = Companion(node, Image, settings.depth_topic, self._wake)
        self._cloud = Companion(node, PointCloud2, settings.cloud_topic, self._wake)
        self._lock = threading.Lock()
        self._newest: Segmented | None = None
        self._pairs: Pairs[Segmented, Any] = Pairs()
        self._mailbox: Mailbox[Places] | None = None
        #: Why nothing is made, by what it needs.
        self._troubles: dict[str, str] = {}
        #: How often something was made, by now and when all went well.
        self._made = self._good = 0

    @property
    def _settings(self) -> CameraSettings:
        return parameters.read(self._node, CameraSettings, self._camera)

    @property
    def _sensor(self) -> Companion:
        return self._depth if self._depth.topic else self._cloud

    def start(self, mailbox: Mailbox[Places], patience: float, undo: ExitStack) -> None:
        """Works in the thread that takes from a mailbox; warns after so many seconds in vain."""
        self._mailbox, self._watch = mailbox, Watch(patience)
        self._troubles = {}
        # What came while the node was being deactivated is old by now.
        self._newest = None
        self._pairs.clear()
        undo.callback(self._close)

    def wanted(self) -> list[str]:
        """The products that somebody subscribes to."""
        return [name for name, p in self._publishers.items() if p.get_subscription_count()]

    def attend(self) -> None:
        """Hears what is needed; call it some times a second."""
        needs = self._needs()
        self._depth.attend(bool(needs & {DEPTH, POINTS}))
        self._cloud.attend(POINTS in needs and not self._depth.topic)
        if not (needs & {DEPTH, POINTS} and self._sensor.is_heard):
            self._pairs.clear()

    def needs_info(self) -> bool:
        """Whether the calibration is needed."""
        return bool(self._needs() & {POINTS, GROUND})

    def put(self, segmented: Segmented) -> None:
        """Leaves a segmentation for the thread."""
        needs = self._needs()
        if GROUND in needs:
            with self._lock:
                self._newest = segmented
        # For a sensor that is silent none waits: each holds its image.
        if needs & {DEPTH, POINTS} and self._sensor.is_heard:
            self._pairs.wait(nanoseconds(segmented.header.stamp), segmented)
        if needs:
            self._wake()

    def work(self) -> None:
        """Makes what can be made by now; must not raise."""
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is not None:
            self._make(GROUND, lambda: self._on_ground(newest))
        if self._needs() & {DEPTH, POINTS}:
            slop = self._node.get_parameter("sync_slop").value
            if (pair := self._pairs.take(self._sensor.kept, slop)) is not None:
                if self._depth.topic:
                    self._make(DEPTH, lambda: self._with_sensor(*pair, calibrated=False))
                self._make(POINTS, lambda: self._with_sensor(*pair))

    def look(self) -> Remark | None:
        """What there is to say, once a second."""
        needs, apart, loss = self._needs(), self._pairs.apart(), self._sensor.loss()
        for need in needs & {DEPTH, POINTS}:
            if trouble := loss or self._sensor_trouble(need, apart):
                self._troubles[need] = trouble
        for need in set(self._troubles) - needs:
            self._troubles.pop(need, None)  # the other thread may have been faster
        whose = f" of {self._camera}" if self._camera else ""
        if not self._troubles:
            self._good = self._made
        # No segmentation at all is the other watch's matter: there is no trouble then.
        return self._watch.ask(
            f"points and ground{whose}", bool(needs), self._good, lambda _: self.trouble or None
        )

    @property
    def trouble(self) -> str:
        """Which topics say nothing, and why; empty where all do."""
        by_text: dict[str, list[str]] = {}
        for name in self.wanted():
            if text := self._troubles.get(PRODUCTS[name].needs):
                by_text.setdefault(text, []).append(str(self._publishers[name].topic_name))
        return "; ".join(f"no {', '.join(names)}: {text}" for text, names in by_text.items())

    def _needs(self) -> set[str]:
        return {PRODUCTS[name].needs for name in self.wanted()}

    def _make(self, need: str, scene: Callable[[], Scene]) -> None:
        rows = [(n, PRODUCTS[n]) for n in self.wanted() if PRODUCTS[n].needs == need]
        if not rows:
            return
        try:
            seen = scene()
            for name, row in rows:
                self._publishers[name].publish(row.make(seen))
            self._troubles.pop(need, None)
            self._made += 1
        except _OBSTACLES as error:
            self._troubles[need] = str(error)
        except Exception as error:
            self._troubles[need] = f"{type(error).__name__}: {error}"
            if self._node.context.ok():  # else a signal has taken the publishers away
                self._node.get_logger().error(
                    f"places could not be made: {traceback.format_exc()}",
                    throttle_duration_sec=THROTTLE,
                )

    def _on_ground(self, given: Segmented) -> Scene:
        camera, model = self._settings, self._model(given)
        view = self._mounting.view(model, given.header.frame_id, camera, given.settings)
        grid = self._mounting.grid(view, given.result, given.settings.grid_votes)
        return Scene(
            *(given.result, given.header, given.settings, model),
            view=view,
            grid=grid,
            ground_frame=camera.ground_frame,
        )

    def _with_sensor(self, given: Segmented, message: Any, calibrated: bool = True) -> Scene:
        known = given.result, given.header, given.settings
        model = self._model(given) if calibrated else None
        if isinstance(message, Image):
            return Scene(*known, model, depth=Depth(depths(message), message))
        to_camera = self._to_camera(given.header.frame_id, message.header.frame_id)
        return Scene(*known, model, cloud=Cloud(coordinates(message), to_camera, message.header))

    def _model(self, given: Segmented) -> CameraModel:
        info: CameraInfo | None = self._infos.kept.best(nanoseconds(given.header.stamp))
        if info is None:
            raise CalibrationError(f"no calibration: {self._infos.silence()}")
        return self._mounting.model(info, self._settings.rectified, given.result.labels.shape)

    def _to_camera(self, camera: str, lidar: str) -> Doubles:
        given = self._settings.cloud_to_camera
        if not any(given):
            return self._transforms.find(camera, lidar, "cloud_to_camera")
        return transform(given[3:], given[:3])

    def _sensor_trouble(self, need: str, apart: float | None) -> str:
        sensor = self._sensor
        if need == DEPTH and not self._depth.topic:
            return "depth_topic is not set"
        if not sensor.topic:
            return "neither depth_topic nor cloud_topic is set"
        if silence := sensor.silence():
            return silence
        if apart is not None:
            return (
                f"stamps on {sensor.topic} are {abs(apart):.3f} s"
                f" {'after' if apart > 0 else 'before'} those of the images: check its clock, or"
                " set sync_slop"
            )
        return ""

    def _wake(self) -> None:
        mailbox = self._mailbox  # another thread may close it
        if mailbox is not None:
            mailbox.put(self, self)

    def _close(self) -> None:
        self._mailbox = None
        self._depth.attend(False)
        self._cloud.attend(False)
        self._pairs.clear()
