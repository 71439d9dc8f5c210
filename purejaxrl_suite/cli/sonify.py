"""`sonify`: hear how a member of a run trained."""

from pathlib import Path
from typing import Annotated

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import call, output_file
from purejaxrl_suite.cli.load import curves
from purejaxrl_suite.cli.render import choose


def sonify(arguments: list[str]) -> int:
    """Write the sound and the film of training: purejaxrl-suite sonify RUN [--seed 0]"""
    import tyro

    def command(
        run: Annotated[Path, tyro.conf.Positional],
        config: tuple[str, ...] = (),
        seed: int | None = None,
        detune: str | None = None,
        displace: tuple[str, ...] | None = None,
        mute: str | None = None,
        strength: float = 0.05,
        scale: float | None = None,
        seconds: float = 20.0,
        draws: int = 0,
        video: bool = False,
        out: Path | None = None,
    ) -> None:
        """Write how one member trained, as a WAV, with a GIF and a spectrogram beside it.

        Args:
            run: the folder of a run or sweep; it may still be running.
            config: for a sweep, NAME=VALUE ... of what was varied; the best configuration that
                fits is heard.
            seed: of the member; the first by default.
            detune: the metric whose size detunes the partials; signed_error or loss by default.
            displace: up to three metrics that displace red, green and blue.
            mute: a metric in [0, 1] that mutes the upper partials.
            strength: how much an error of 1 detunes.
            scale: what counts as 1; by default the largest.
            seconds: of the sound.
            draws: seed of which frames of the film fall apart.
            video: write the film with its sound, too, as an MP4 (extra film).
            out: the file to write; sound.wav in the folder by default.
        """
        from purejaxrl_suite import report

        output_file("--out", out, (".wav",))
        found, _ = folder.read(run, curves)
        chosen = choose(found, config)
        path = out or run / "sound.wav"
        folder.check_writable(run if out is None else out.parent)
        sound = report.sonify(
            found,
            path,
            at=chosen.at,
            seed=seed,
            detune=detune,
            displace=displace,
            mute=mute,
            strength=strength,
            scale=scale,
            seconds=seconds,
            draws=draws,
            video=video,
        )
        first, last = sound.cents[[0, -1]]
        print(f"{sound.name}: {first:.1f} cents at first, {last:.1f} at last")
        print(f"Written to {path}, with a film and a spectrogram beside it")

    call(command, "sonify", arguments)
    return 0
