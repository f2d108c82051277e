"""A lifecycle node whose transitions undo themselves, and say why they fail."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from contextlib import ExitStack

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

Transition = Callable[["UndoingNode", LifecycleState], TransitionCallbackReturn]


def _explained(transition: Transition) -> Transition:
    """A failing transition says why in the log and leaves the node in its old state.

    rclpy would drop the exception in silence.
    """

    @functools.wraps(transition)
    def explained(node: UndoingNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__.removeprefix('on_')} failed: {error}")
            node.get_logger().debug(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE

    return explained


class UndoingNode(LifecycleNode):
    """Subclasses say what `configure` and `activate` do, and push what undoes it on a stack.

    A transition that fails half-way undoes what it has done. Cleanup, deactivate, shutdown and
    `destroy_node` undo the rest.
    """

    def __init__(self, name: str) -> None:
        # First, since rclpy may destroy a node whose parameters it has refused.
        self._undo_configure, self._undo_activate = ExitStack(), ExitStack()
        #: Whether `configure` has been done, and not been undone.
        self.is_configured = False
        super().__init__(name)
        self._refuse_impossible_transitions()

    def configure(self, undo: ExitStack) -> None:
        """Loads and creates; raises what fails."""

    def activate(self, undo: ExitStack) -> None:
        """Begins to work; publishers are active already. Raises what fails."""

    @_explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        with ExitStack() as undo:
            self.configure(undo)
            undo.callback(setattr, self, "is_configured", False)
            self.is_configured = True
            self._undo_configure = undo.pop_all()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        with ExitStack() as undo:
            super().on_activate(state)
            undo.callback(super().on_deactivate, state)
            self.activate(undo)
            self._undo_activate = undo.pop_all()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_activate.close()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_configure.close()
        return TransitionCallbackReturn.SUCCESS

    @_explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._undo_activate.close()
        self._undo_configure.close()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._undo_activate.close()
        self._undo_configure.close()
        super().destroy_node()

    def _refuse_impossible_transitions(self) -> None:
        """Answers a request that the state does not allow, which rclpy lets end the process."""
        service = self._service_change_state
        change = service.callback

        def change_or_refuse(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            try:
                return change(request, response)
            except RuntimeError as error:
                self.get_logger().warning(f"transition {request.transition.id} refused: {error}")
                response.success = False
                return response

        service.callback = change_or_refuse
