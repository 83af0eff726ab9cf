import torch

from mmq.nn.experts import Gate, LinearExperts, decoder


def test_linear_experts_are_separate_layers_in_one_product():
    experts = LinearExperts(6, 3, 4)
    torch.nn.init.normal_(experts.bias)
    x = torch.randn(5, 6)
    z = experts(x)
    for n in range(3):
        weight, bias = experts.weight[4 * n : 4 * n + 4], experts.bias[4 * n : 4 * n + 4]
        torch.testing.assert_close(z[:, n], x @ weight.T + bias)
    assert experts.weight_rows().shape == (3, 24)


def test_linear_experts_start_orthonormal():
    experts = LinearExperts(16, 2, 4)
    block = experts.weight[:4]
    torch.testing.assert_close(block @ block.T, torch.eye(4), atol=1e-5, rtol=0)


def test_gates_start_uniform_and_sum_to_one():
    gate = Gate(6, 3)
    weights = gate(torch.randn(4, 6))
    torch.testing.assert_close(weights, torch.full((4, 3), 1 / 3))


def test_decoder_shapes():
    assert decoder(4, 9)(torch.randn(3, 4)).shape == (3, 9)
