"""The page: three tabs in Gradio. What happens behind them is in the rooms beside this one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import demo
from helpers.web_demo import engine, guess_who, pictures, safety, workshop, your_voice

if TYPE_CHECKING:
    import gradio

FOLDER = Path(__file__).parent
_TITLE = "A face from a voice"
_NOTICE = (
    "**What it is not.** The faces are average faces consistent with a voice, not a likeness of "
    "anyone. They are not for identification, surveillance, hiring, policing, insurance or "
    "evidence. No race is predicted for an individual. Generated faces bear a small visible mark."
)
_CONSENT = (
    "Use your own voice, or that of somebody who said yes. A recording stays on the computer that "
    "runs this page, in a private folder, and is deleted "
    f"{safety.DELETED_AFTER_ANSWER_SECONDS:.0f} seconds after the face is made. At most "
    f"{safety.LARGEST_MB} MB and {safety.LONGEST_SECONDS // 60} minutes; the first half minute of "
    "sound counts."
)
_LONGEST_QUEUE = 60
_WORKERS = 2
_FAILED = "Something went wrong here. Please try again; other visitors are not affected."
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial"]


def build(shared: engine.Engine) -> gradio.Blocks:
    """Puts the page together.

    Args:
        shared: What makes the faces; may still be loading.

    Returns:
        The page, not yet served.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    import gradio as gr

    often = safety.DELETED_AFTER_SECONDS
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(often, often)) as page:
        gr.Markdown(
            f"# {_TITLE}\n\nWhat does a voice tell about a face? Less than one would think."
        )
        with gr.Tab("Your voice", id="voice"):
            _your_voice(shared, page)
        with gr.Tab("Voice workshop", id="workshop"):
            _workshop(shared, page)
        with gr.Tab("Guess who", id="guess"):
            _guess_who(shared, page)
        gr.Markdown(_NOTICE, elem_classes="notice")
    return page.queue(max_size=_LONGEST_QUEUE, default_concurrency_limit=_WORKERS)


def serve(
    port: int | None = None, share: bool = False, in_notebook: bool = False
) -> tuple[gradio.Blocks, engine.Engine]:
    """Starts the server and returns at once.

    Args:
        port: TCP port; None takes the first free one from 7860 on.
        share: Whether to ask Gradio for a public address, valid for about a week.
        in_notebook: Whether to show the page below the cell.

    Returns:
        The page, whose `local_url` says where it is and whose `close` ends it, and what makes the
        faces.

    Raises:
        OSError: The port is taken.
    """
    shared = engine.Engine()
    shared.start()
    safety.private_folder()
    page = build(shared)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # It reports Gradio's look at itself.
    page.launch(
        server_port=port,
        share=share,
        inline=in_notebook,
        prevent_thread_lock=True,
        quiet=True,
        height=900,
        ssr_mode=False,
        max_file_size=f"{safety.LARGEST_MB}mb",
        footer_links=[],
        enable_monitoring=False,
        theme=_theme(),
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        head=f"<script>{_script()}</script>",
    )
    return page, shared


def run(port: int | None = None, share: bool = False) -> None:
    """Serves the page until it is interrupted (Ctrl+C), and says when it is ready."""
    import threadpoolctl

    started = time.perf_counter()
    page, shared = serve(port, share)
    print(f"The page is at {page.local_url}", flush=True)
    if page.share_url:
        print(f"Anyone who has this address can open it: {page.share_url}", flush=True)
    shared.wait()
    # Several visitors are answered at once: more threads for each would only be in the way.
    threadpoolctl.threadpool_limits(1, "blas")
    print(f"Ready after {time.perf_counter() - started:.1f} s. Stop it with Ctrl+C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        page.block_thread()
    page.close()


def _your_voice(shared: engine.Engine, page: gradio.Blocks) -> None:
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            gr.Markdown(_CONSENT, elem_classes="consent")
            microphone = gr.Audio(
                sources=["microphone"],
                type="filepath",
                label="Record: about six seconds",
                editable=False,
                elem_id="microphone",
            )
            upload = _file_field(
                label="Or upload sound or video",
                height=150,
                elem_id="upload",
            )
            gr.Markdown("Or let an islander speak, whom no network was trained on:")
            with gr.Row(elem_classes="samples"):
                samples = [
                    gr.Button(name.capitalize(), size="sm", min_width=110)
                    for name in demo.BUNDLED_VOICES
                ]
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML(_EMPTY, elem_id="answer", padding=False)
    answer.change(None, js="showAnswer")
    page.load(
        None, js="() => document.querySelector('#answer').setAttribute('aria-live', 'polite')"
    )
    for event, source in ((microphone.stop_recording, microphone), (upload.upload, upload)):
        event(_safely(_uploaded, shared), source, [answer, source], **_EVENT)
    for name, button in zip(demo.BUNDLED_VOICES, samples, strict=True):
        button.click(_safely(_sampled, shared, name), None, answer, **_EVENT)


def _file_field(**options: object) -> gradio.File:
    """A field for a file of any kind, which leaves nothing behind.

    Gradio's own makes an empty file beside each upload and keeps it.
    """
    import gradio as gr

    field = gr.File(**options)
    field.preprocess = lambda payload: payload.path if payload else None
    return field


def _as_sent(field: gradio.components.Component) -> gradio.components.Component:
    """Lets a number that is out of range through: the page answers it with a sentence of its own.

    Gradio's own is an error, for the visitor and in the log.
    """
    field.preprocess = lambda payload: payload
    return field


def _uploaded(shared: engine.Engine, path: str | None) -> tuple[str, None]:
    """Answers an upload and empties the field, so that the same file can come again."""
    return (_once(your_voice.from_upload(shared, path)) if path else _EMPTY), None


def _sampled(shared: engine.Engine, name: str) -> str:
    return _once(your_voice.from_sample(shared, name, random.randrange(1000)))


def _once(piece: str) -> str:
    """Makes a piece of the page unlike any other: Gradio does not show again what it showed last.

    The script of the page may have put another sentence there in between.
    """
    return f"{piece}<!-- {time.time_ns()} -->"


def _workshop(shared: engine.Engine, page: gradio.Blocks) -> None:
    import gradio as gr

    with gr.Row(elem_classes="workshop"):
        with gr.Column(scale=2, min_width=280):
            gr.Markdown("Build a voice. Move one slider at a time, and watch what the face does.")
            sliders = [
                _as_sent(
                    gr.Slider(
                        each.low,
                        each.high,
                        each.start,
                        step=each.step,
                        label=each.label,
                        info=each.note,
                        elem_id=f"slider-{each.name}",
                    )
                )
                for each in workshop.SLIDERS
            ]
            accent = gr.Dropdown(list(workshop.ACCENTS), label="Accent", filterable=False)
            with gr.Row():
                again = gr.Button("Other words", size="sm", min_width=110)
                back = gr.Button("Back to the middle", size="sm", min_width=110)
        with gr.Column(scale=3, min_width=300, elem_classes="built"):
            face = gr.HTML(elem_id="workshop-face", padding=False)
            sound = gr.HTML(elem_id="workshop-sound", padding=False)
    utterance = gr.State(0)
    values, shown = [*sliders, accent, utterance], [face, sound]
    answer = _safely(workshop.answer, shared)
    # Of many movements of a slider only the last one has to be answered.
    follow = {"trigger_mode": "always_last", "show_progress": "hidden", "queue": True}
    for control in (*sliders, accent):
        control.input(answer, values, shown, **follow)
    again.click(lambda number: number + 1, utterance, utterance, queue=False).then(
        answer, values, shown, **follow
    )
    start = [each.start for each in workshop.SLIDERS] + [next(iter(workshop.ACCENTS))]
    back.click(lambda: start, None, [*sliders, accent], queue=False).then(
        answer, values, shown, **follow
    )
    page.load(answer, values, shown, show_progress="hidden")


def _guess_who(shared: engine.Engine, page: gradio.Blocks) -> None:
    import gradio as gr

    gr.Markdown(
        "One voice, four islanders that no network was trained on. Who speaks? The class "
        "votes, then the model answers."
    )
    with gr.Row():
        gallery = gr.Radio(
            list(guess_who.GALLERIES), value="same sex", label="Who are the four?", min_width=260
        )
        begin = gr.Button("New round", variant="primary", elem_id="new-round", min_width=140)
    voice = gr.HTML(elem_id="guess-voice", padding=False)
    faces, buttons, votes = [], [], []
    with gr.Row(elem_classes="gallery", equal_height=True):
        for letter in guess_who.LETTERS:
            with gr.Column(min_width=130):
                faces.append(gr.HTML(padding=False, elem_id=f"face-{letter}"))
                buttons.append(gr.Button(f"Vote for {letter}", size="sm", interactive=False))
                count = gr.Number(
                    0,
                    label=f"Votes for {letter}",
                    precision=0,
                    minimum=0,
                    maximum=guess_who.MOST_VOTES,
                )
                votes.append(_as_sent(count))
    show = gr.Button("Show the answer", variant="primary", elem_id="show", interactive=False)
    said = gr.HTML(elem_id="said", padding=False)
    score = gr.HTML(guess_who.score_table(guess_who.Game()), elem_id="score", padding=False)
    game = gr.State(guess_who.Game(), time_to_live=_HOURS * 3600)
    # Not Gradio's `BrowserState`: where a browser keeps nothing for a page in a frame, as in Colab,
    # it takes the whole tab with it.
    kept = gr.JSON(visible=False)
    page.load(_resumed, [game, kept], [game, score], js="keptScore", show_progress="hidden")

    begin.click(
        _safely(_new_round, shared),
        [gallery, game],
        [game, voice, *faces, *votes, *buttons, show, said, score],
        **_EVENT,
    )
    for button, count in zip(buttons, votes, strict=True):
        # Counting needs no server, and a class presses quickly.
        button.click(None, count, count, js="count => (count || 0) + 1")
    show.click(
        _safely(_show, shared),
        [game, *votes],
        [game, kept, *faces, said, score, *buttons, show],
        **_EVENT,
    ).then(None, kept, js="keepScore")


def _resumed(game: guess_who.Game, kept: object) -> tuple[guess_who.Game, str]:
    """Takes the score up again that the browser kept when the page was left."""
    game = game.resumed(kept)
    return game, guess_who.score_table(game)


def _new_round(_shared: engine.Engine, gallery: str, game: guess_who.Game) -> tuple:
    import gradio as gr

    question = guess_who.new_round(gallery)
    game = dataclasses.replace(game, round=question, answered=False)
    player = pictures.player(guess_who.voice_of(question), "The voice of one of the four", True)
    faces = [guess_who.face(question, index) for index in range(len(guess_who.LETTERS))]
    ready = gr.update(interactive=True)
    return game, player, *faces, 0, 0, 0, 0, *[ready] * 5, "", guess_who.score_table(game)


def _show(shared: engine.Engine, game: guess_who.Game, *votes: float | None) -> tuple:
    import gradio as gr

    same, off = gr.skip(), gr.update(interactive=False)
    if game.round is None or game.answered:
        text = guess_who.note("Begin a new round first.", problem=True)
        return game, *[same] * 5, text, same, *[same] * 5
    try:
        share = guess_who.class_share(votes, game.round.speaker)
        voice = guess_who.voice_of(game.round)
        model, alike = guess_who.model_answer(shared, game.round, voice)
        settled = guess_who.settle(game, votes, model)
    except ValueError as error:
        return game, *[same] * 5, guess_who.note(str(error), problem=True), same, *[same] * 5
    faces = guess_who.revealed(game.round, votes, model, alike)
    said = guess_who.result(game.round, share, model)
    return settled, settled.kept(), *faces, said, guess_who.score_table(settled), *[off] * 5


def _safely(function: Callable, *bound: object) -> Callable:
    """Binds the first arguments, and turns an error into a sentence on the page.

    The error itself goes to the log of whoever runs the page.
    """
    import gradio as gr

    def safe(*values: object) -> object:
        try:
            return function(*bound, *values)
        except Exception:  # One visitor's trouble is nobody else's.
            logging.getLogger(__name__).exception("The page could not answer.")
            raise gr.Error(_FAILED, print_exception=False) from None

    return safe


def _script() -> str:
    text = (FOLDER / "page.js").read_text(encoding="utf-8")
    return text.replace("LARGEST_MB", str(safety.LARGEST_MB))


def _theme() -> gradio.themes.Base:
    import gradio as gr

    clear = "transparent"
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=_FONTS,
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_label_background_fill=clear,
        block_label_background_fill_dark=clear,
        block_label_text_color="*neutral_800",
        block_label_text_color_dark="*neutral_100",
        block_label_border_width="0px",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="#0060a8",
        button_primary_background_fill_hover="#004c86",
        button_primary_background_fill_dark="#0060a8",
    )


_HOURS = 12
_EVENT = {"show_progress": "minimal", "trigger_mode": "once"}
_EMPTY = (
    '<div class="answer waiting"><p>The face appears here. Record your voice, upload a file, or '
    "choose an islander.</p></div>"
)
