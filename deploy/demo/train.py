"""Trains the demo's network for a minute and writes checkpoint.pth, the way training scripts do: under
DataParallel, with the optimizer beside it."""

import pathlib

import torch
from torch import nn

import shapes


def batch(generator, size):
    """Filled circles, squares and triangles somewhere in the image, and noise."""
    grid = torch.arange(16.0)
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    label = torch.randint(0, 3, (size,), generator=generator)
    centre = torch.rand(size, 2, generator=generator) * 6 + 5
    radius = torch.rand(size, generator=generator) * 2 + 2.5
    dy, dx = y - centre[:, 0, None, None], x - centre[:, 1, None, None]
    r = radius[:, None, None]
    forms = torch.stack(
        [
            dx**2 + dy**2 < r**2,
            (dx.abs() < r * 0.85) & (dy.abs() < r * 0.85),
            (dy < r * 0.8) & (dy > 2 * dx.abs() - r),
        ],
        1,
    )
    image = forms[torch.arange(size), label].float()
    return (image + 0.3 * torch.randn(size, 16, 16, generator=generator))[:, None], label


def main():
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(7)
    model = nn.DataParallel(shapes.build())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    epochs, best = 6, 0.0
    for _ in range(epochs):
        model.train()
        for _ in range(60):
            image, label = batch(generator, 64)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(image), label).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            image, label = batch(generator, 1000)
            accuracy = (model(image).argmax(1) == label).float().mean().item()
        best = max(best, accuracy)
        print(f"accuracy {accuracy:.3f}")
    torch.save(
        {
            "epoch": epochs,
            "arch": "shapenet",
            "state_dict": model.state_dict(),
            "best_acc1": best,
            "optimizer": optimizer.state_dict(),
        },
        pathlib.Path(__file__).with_name("checkpoint.pth"),
    )


if __name__ == "__main__":
    main()
