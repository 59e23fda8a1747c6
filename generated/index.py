"""Which program each module solves; written by tools/commit_generated.py."""

INDEX: dict[str, str] = {
    "e0a4e8ecca906429d9f160587a76b21a": "deep_linear_batch_numba",
    "be52ca750b13a7de5e1518efdbfdced9": "deep_linear_batch_numpy",
    "5fcc411c7e57c14fa69d100afb39a756": "deep_linear_online_numba",
    "199a637aee457a05e09e5570b89307af": "deep_linear_online_numpy",
    "70389c9b63c41a3c7fd6dfeef7a651ef": "mlp_tanh_direct",
    "28053b8a59750d2eebfb4111971c8fa6": "mlp_tanh_direct_numba",
    "2aa078b2e4b240f75d2fc12c10b4806e": "mlp_tanh_sampled",
}
