"""Small random CLIP and DINOv2 models in folders, saved by transformers itself, as users have them."""

import torch


def clip_folder(folder, seed=0):
    """A CLIP of 28 px pictures, two layers and 24 numbers, with its processor and a tokenizer of single letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    start, end = len(words) - 2, len(words) - 1
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(words), "max_position_embeddings": 24, "bos_token_id": start, "eos_token_id": end}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**layers, **text, "pad_token_id": end},
        vision_config={**layers, "image_size": 28, "patch_size": 14},
        projection_dim=24,
    )
    model = CLIPModel(config)
    for parameter in model.parameters():  # weights as large as trained ones, so that pictures differ
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=24).save_pretrained(folder)
    return folder


def dino_folder(folder, seed=0):
    """A DINOv2 of 28 px pictures, two layers and 32 numbers, with the processor of the published ones, smaller."""
    from transformers import Dinov2Config, Dinov2Model
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    torch.manual_seed(seed)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    model = Dinov2Model(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    BitImageProcessorPil(
        size={"shortest_edge": 32},
        crop_size={"height": 28, "width": 28},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)
    return folder
