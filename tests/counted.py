"""Curves made by hand, with what the engine says beside them of episodes."""

import numpy as np

from purejaxrl_suite.stats.inputs import EPISODES, FINISHED, MEAN_OVER


def counted(curves, episodes=1.0, finished=1.0):
    """The dataset, its returns being means over so many episodes, where they are known.

    episodes, finished: what fits the returns: of each update, and the share of environments that
    have finished an episode by then.
    """
    returns = [str(name) for name in curves.data_vars if str(name).startswith("episode_return")]
    for name in returns:
        end, (dims, values) = name.removeprefix("episode_return"), (curves[name].dims, curves[name])
        curves[name].attrs[MEAN_OVER] = EPISODES + end
        numbers = np.where(np.isnan(values), 0.0, episodes).astype(np.float32)
        curves[EPISODES + end] = (dims, numbers)
        shares = np.broadcast_to(np.asarray(finished, np.float32), values.shape)
        curves[FINISHED + end] = (dims, shares)
    return curves
