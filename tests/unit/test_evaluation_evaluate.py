# SPDX-License-Identifier: GPL-3.0-or-later
"""`headsculpt evaluate` with a stand-in for the engine; its lists, its intervals, its CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_stand_ins import Engine, ball, export, new_judge
from PIL import Image
from tiny_pack import make_tiny_pack

from headsculpt.cli import main
from headsculpt.errors import UserError
from headsculpt.evaluation import runs
from headsculpt.evaluation.clip import Clip
from headsculpt.evaluation.evaluate import run_evaluation
from headsculpt.evaluation.judge import reading
from headsculpt.evaluation.plan import Plan, read_plan
from headsculpt.evaluation.shares import wilson
from headsculpt.finish.gltf import glb
from headsculpt.jobs.request import GenerateRequest

TOML = """
preset = "preview"
seeds = [0, 3]
[[prompts]]
name = "green"
prompt = "a bald man with green skin"
[[prompts]]
name = "blue"
prompt = "a smiling woman with blue skin"
"""


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "export_head", export)
    monkeypatch.setattr(runs, "load_judge", new_judge)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "list.toml").write_text(TOML)
    return read_plan(tmp_path / "list.toml")


@pytest.fixture
def template(tmp_path: Path) -> GenerateRequest:
    return GenerateRequest("any", pack=make_tiny_pack(tmp_path / "pack"), threads=1)


def test_lists(tmp_path: Path, plan: Plan) -> None:
    assert [order.name for order in plan.orders] == ["green-0", "green-3", "blue-0", "blue-3"]
    table = tmp_path / "list.csv"
    table.write_text('name,prompt,seed\na,bald,1\nb,"old, bald",\n')
    orders = read_plan(table).orders
    assert [(order.name, order.example.prompt) for order in orders] == [("a-1", "bald"), ("b-0", "old, bald")]
    table.write_text("name,prompt,seed\na,bald,1\nb,old,1\na,bald,0\n")
    assert [order.name for order in read_plan(table).orders] == ["a-1", "a-0", "b-1"]  # a strip for each prompt
    for content in (
        "name,prompt,seed\n",
        "prompt,seed\nbald,1\n",
        "name,prompt,seed\na,b,1\na,c,1\n",
        "name,prompt,seed\na,b,1\na,c,2\n",
        "name,prompt,seed\n../a,b,1\n",
    ):
        table.write_text(content)
        with pytest.raises(UserError, match="no list of prompts"):
            read_plan(table)
    with pytest.raises(UserError, match="no list of prompts"):
        read_plan(tmp_path / "none.toml")


def test_an_evaluation(tmp_path: Path, plan: Plan, template: GenerateRequest) -> None:
    engine, out, docs, said = Engine(), tmp_path / "out", tmp_path / "docs", []
    docs.mkdir()
    (docs / "quality.md").write_text("before\n<!-- quality -->\n<!-- /quality -->\nafter\n")
    run_evaluation(plan, out, template, lambda event: None, ["blue"], generate=engine)
    assert len(engine.prompts) == 2
    written = run_evaluation(plan, out, template, said.append, docs=docs, generate=engine)
    assert len(engine.prompts) == 4 and all(path.is_file() for path in written)
    assert any("no CLIP" in event.text for event in said)
    data = json.loads((out / "evaluation.json").read_text())
    assert [(head["name"], head["seed"]) for head in data["heads"]] == [
        ("green-0", 0),
        ("green-3", 3),
        ("blue-0", 0),
        ("blue-3", 3),
    ]
    kept = [
        head["found"]["attributes"][name] == value for head in data["heads"] for name, value in head["asked"].items()
    ]
    assert len(kept) == 12 and data["summary"]["asked attributes that are there"].startswith(f"{sum(kept)} of 12, ")
    assert sum(count["asked"] for count in data["attributes"].values()) == 12
    assert data["attributes"]["skin"]["asked"] == 4 and data["attributes"]["style"]["asked"] == 2
    assert float(data["summary"]["ΔE of skin, median of 4"]) < 1 and data["heads"][0]["clip"] is None
    page = (docs / "quality.md").read_text()
    assert page.count("| green-") == 2 and "pictures/quality/blue.jpg" in page and page.endswith("after\n")
    strip, sheet = Image.open(docs / "pictures" / "quality" / "blue.jpg"), Image.open(out / "sheet.jpg")
    assert strip.size[0] == sheet.size[0] and sheet.size[1] == 2 * strip.size[1] == 360
    with pytest.raises(UserError, match="no prompt called pink"):
        run_evaluation(plan, out, template, print, ["pink"], generate=engine)


def test_intervals() -> None:
    """Figures of Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_the_judge_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(reading, "load_judge", new_judge)
    file = tmp_path / "head.glb"
    file.write_bytes(glb(ball((0.3, 0.65, 0.25)), "head", {}))
    assert main(["judge", str(file), "--prompt", "a bald man with green skin"]) == 0
    shown = capsys.readouterr().out
    assert "of 3 asked attributes" in shown and "colour of skin: green 0." in shown and "second face" in shown
    data = json.loads((tmp_path / "head.judged.json").read_text())
    assert data["asked"] == {"style": "bald", "sex": "man", "skin": "green"}
    assert data["found"]["second_face"]["looked"] == 11 and set(data["asked"]) <= set(data["found"]["attributes"])
    assert main(["judge", str(file), "--prompt", "a castle"]) == 1
    (tmp_path / "broken.glb").write_bytes(b"glTF")
    assert main(["judge", str(tmp_path / "broken.glb"), "--prompt", "bald"]) == 1


def make_tiny_clip(folder: Path) -> None:
    """Random weights, in the layout of openai/clip-vit-large-patch14."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    from headsculpt.packs.pocket.training.captions import make_tokenizer

    tokenizer: PreTrainedTokenizerFast = make_tokenizer(20)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(tokenizer), "max_position_embeddings": 20}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**small, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)


def test_clip_by_hand(tmp_path: Path) -> None:
    make_tiny_clip(tmp_path)
    clip, texts = Clip(tmp_path), ["a bald man", "a woman with green skin"]
    pictures = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    pixels = torch.from_numpy(((pictures / 255 - mean) / deviation).transpose(0, 3, 1, 2)).float()
    words = clip.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = clip.model(pixel_values=pixels, **words)
    image, text = output.image_embeds.double().numpy(), output.text_embeds.double().numpy()
    by_hand = np.array([[i @ t / np.sqrt((i @ i) * (t @ t)) for t in text] for i in image])
    assert clip.cosines(pictures, texts) == pytest.approx(by_hand, abs=1e-5)
    score = clip.score(pictures, texts[1], texts)
    assert score.similarity == pytest.approx(100 * by_hand[:, 1].mean(), abs=1e-3)
    assert score.retrieval == pytest.approx((by_hand[:, 1] > by_hand[:, 0]).mean())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="CLIP"):
        Clip(tmp_path)


def test_an_evaluation_with_clip(tmp_path: Path, plan: Plan, template: GenerateRequest) -> None:
    assert template.pack
    make_tiny_clip(template.pack / "clip")
    run_evaluation(plan, tmp_path / "out", template, lambda event: None, ["green"], generate=Engine())
    data = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {"CLIP-R", "CLIP-S"} <= set(data["summary"]) and 0 <= data["heads"][0]["clip"]["retrieval"] <= 1
