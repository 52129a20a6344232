import torch

from cl.models.linear_head import LinearHead


def test_old_logits_are_the_same_to_the_bit_when_labels_are_added() -> None:
    torch.manual_seed(0)
    head = LinearHead(384, [150]).eval()
    states = torch.randn(33, 384)
    before = head(states)
    head.grow(17, torch.Generator().manual_seed(1))
    after = head(states)
    assert after.shape == (33, 167)
    assert torch.equal(before, after[:, :150])


def test_growth_is_decided_by_the_generator_alone() -> None:
    heads = [LinearHead(8, [2]), LinearHead(8, [2])]
    for head in heads:
        head.grow(3, torch.Generator().manual_seed(5))
        torch.randn(3)
    assert torch.equal(heads[0].blocks[1].weight, heads[1].blocks[1].weight)
