#!/usr/bin/env python3
"""Times other programs that train and sample restricted Boltzmann machines, or store and recall in Hopfield networks, and
`throughput` between them.

    peers.py compare [--rounds 5] [--case NAME] [--model FILE] [--throughput PATH] [--mnist DIR] [--threads 2]
    peers.py run --peer NAME --case NAME [--mnist DIR] [--threads 2]

`compare` starts every program of a case once a round, one after the other, each as a process of its own that does the
work once before it is timed; it prints a JSON line for each time, and at the end a table of medians with the ratio of
the fastest peer to Harmonium. What is timed is a part of the work of a case (the same part for all), scaled to the whole.

All do the same work in single precision, on MNIST from intensity 128 on: plain CD or PCD with learning rate 0.05, no
momentum, weights that start normal with deviation 0.01, a new order of the samples every epoch; block Gibbs sampling and
annealed importance sampling from normal weights of deviation 0.05 without biases, or from those of `--model`.

Hopfield networks of N spins store N/20 random patterns by the rule of Hebb. `sync` recalls 100 patterns of which every tenth spin is
turned in 10 steps of all spins at once, `sync_random` 100 random states; `async` 10 patterns in 2 sweeps of single spins in random
order, by NumPy with fields that are kept (a spin costs a row when it turns). Harmonium ends a recall that has come to rest.

Ising lattices are swept by the heat bath on a checkerboard: by JAX jitted, with both colours in arrays of their own (`jax`) or in one, half
of which is drawn in vain (`jax-whole`, a tenth of the work); by thrml by its block Gibbs program, a four-hundredth of the work.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import time

VISIBLE = 784
RATE = 0.05
# name: hidden units, batch, sweeps, persistent chains (0: chains start at the data)
TRAINING = {
    "cd1_h500_b100": (500, 100, 1, 0),
    "pcd1_c100_h500_b100": (500, 100, 1, 100),
    "pcd1_c500_h500_b100": (500, 100, 1, 500),
    "cd10_h500_b100": (500, 100, 10, 0),
    "cd1_h2000_b500": (2000, 500, 1, 0),
}
GIBBS = "gibbs_784x500_c1000_s1000"
AIS = "ais_784x500_c100_t14500"
HOPFIELD = {f"{kind}_n{n}_{what}": (kind, n) for n in (1024, 2048, 4096)
            for kind, what in (("store", f"p{n // 20}"), ("sync", "100probes_x10"), ("sync_random", "100probes_x10"),
                               ("async", "10probes_x2"))}
ISING = {f"ising_{side}x{side}_c{chains}_s{sweeps}": (side, chains, sweeps)
         for side, chains, sweeps in ((64, 64, 1000), (512, 8, 100))}
LANGEVIN = "langevin_784-256-256-1_b128_k20"
UPDATES, CHAINS, STEPS = 50, 128, 20
# The part of the work that is timed.
PART = {"cd1_h500_b100": 1.0, "pcd1_c100_h500_b100": 1.0, "pcd1_c500_h500_b100": 0.3, "cd10_h500_b100": 0.3,
        "cd1_h2000_b500": 0.5, GIBBS: 0.1, AIS: 0.1}
SLOW = {"sklearn", "rbms", "learnergy"}  # a fifth of the part
FAST = ["torch", "jax", "numpy"]


def peers_of(case):
    if case in ISING:
        return ["jax", "jax-whole"] + ["thrml"] * ("64x64" in case)
    if case == LANGEVIN:
        return ["torch", "jax", "jax-rbg"]
    if case in HOPFIELD:
        kind = HOPFIELD[case][0]
        return ["numpy"] if kind == "sync_random" else ["numpy", "hopfieldnetwork"] + ["hopfieldkit"] * (kind != "sync")
    if case == GIBBS:
        return FAST
    if case == AIS:
        return ["torch", "jax"]
    library = {"cd1_h500_b100": ["rbms", "learnergy"], "pcd1_c100_h500_b100": ["sklearn", "rbms"]}
    return FAST + library.get(case, [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["compare", "run"])
    parser.add_argument("--peer")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mnist", default="datasets/mnist")
    parser.add_argument("--model", help="weights for sampling and annealing: safetensors")
    parser.add_argument("--throughput", default="target/release/examples/throughput")
    args = parser.parse_args()
    if args.what == "compare":
        compare(args)
    else:
        environment(args.threads)
        print(json.dumps({"peer": args.peer, "case": args.case, "seconds": run(args)}))


def environment(threads):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        os.environ[name] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


# ------------------------------------------------------------------------------------------------------------ comparison
def compare(args):
    cases = [c for c in [*TRAINING, GIBBS, AIS, *HOPFIELD, *ISING, LANGEVIN] if args.case in c]
    if args.model:
        cases = [c for c in cases if c in (GIBBS, AIS)]
    rows = []
    for case in cases:
        times = {}
        for _ in range(args.rounds):
            for peer in [*peers_of(case), "harmonium"]:
                times.setdefault(peer, []).append(one(args, peer, case))
                print(json.dumps({"case": case, "peer": peer, "seconds": round(times[peer][-1], 6)}), flush=True)
        rows.append((case, {peer: statistics.median(t) for peer, t in times.items()}))
    for case, medians in rows:
        ours = medians.pop("harmonium")
        best = min(medians, key=medians.get)
        others = ", ".join(f"{p} {t:.3g} s ({t / ours:.1f})" for p, t in sorted(medians.items(), key=lambda m: m[1]))
        print(f"{case}: harmonium {ours:.3g} s; {others}; fastest peer / harmonium ({best}) {medians[best] / ours:.2f}")


def one(args, peer, case):
    if peer == "harmonium":
        which = "gibbs" if case == GIBBS else "ais" if case == AIS else case.split("_")[0] if case in ISING else "rbm"
        which = "hopfield" if case in HOPFIELD else "langevin" if case == LANGEVIN else which
        reps = "5" if case in HOPFIELD or case in ISING or case == LANGEVIN else "1"
        command = [args.throughput, "--which", which, "--case", case, "--reps", reps, "--scale", str(PART.get(case, 1.0)),
                   "--threads", str(args.threads)]
        key = "median_s"
    else:
        command = [sys.executable, __file__, "run", "--peer", peer, "--case", case, "--threads", str(args.threads),
                   "--mnist", args.mnist]
        key = "seconds"
    if args.model:
        command += ["--model", args.model]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])[key]


# ----------------------------------------------------------------------------------------------------------------- peers
def run(args):
    import numpy as np

    if args.case in HOPFIELD:
        return hopfield(args.peer, *HOPFIELD[args.case])
    if args.case in ISING:
        return ising(args.peer, *ISING[args.case])
    if args.case == LANGEVIN:
        return langevin(args.peer, mnist(args.mnist, grey=True))
    part = PART[args.case] / (5 if args.peer in SLOW else 1)
    if args.case in TRAINING:
        x = mnist(args.mnist)
        hidden, batch, sweeps, chains = TRAINING[args.case]
        part = max(1, round(part * len(x) / batch)) * batch
        work = globals()["train_" + args.peer](x, weights(hidden, 0.01), batch, sweeps, chains)
        whole = len(x)
    else:
        machine = stored(args.model) if args.model else (weights(500, 0.05), np.zeros(VISIBLE, "f"), np.zeros(500, "f"))
        whole = 1000 if args.case == GIBBS else 14500
        part = round(part * whole)
        name = "gibbs_" if args.case == GIBBS else "ais_"
        work = globals()[name + args.peer](*machine)
    work(part)
    began = time.perf_counter()
    work(part)
    return (time.perf_counter() - began) * whole / part


def mnist(folder, grey=False):
    import gzip

    import numpy as np

    name = os.path.join(folder, "train-images-idx3-ubyte")
    with (open(name, "rb") if os.path.exists(name) else gzip.open(name + ".gz", "rb")) as f:
        _, n, rows, columns = struct.unpack(">IIII", f.read(16))
        pixels = np.frombuffer(f.read(), np.uint8).reshape(n, rows * columns)
        return pixels.astype("f") / 255 if grey else (pixels >= 128).astype("f")


def weights(hidden, deviation):
    import numpy as np

    return (np.random.default_rng(0).standard_normal((VISIBLE, hidden)) * deviation).astype("f")


def stored(path):
    """Weights (visible × hidden) and biases of a file written by Harmonium or laid out like one."""
    import numpy as np

    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()

    def tensor(name):
        kind = {"F32": "<f4", "F64": "<f8"}[header[name]["dtype"]]
        begin, end = header[name]["data_offsets"]
        return np.frombuffer(data[begin:end], kind).reshape(header[name]["shape"]).astype("f")

    return np.ascontiguousarray(tensor("weights").T), tensor("visible_bias"), tensor("hidden_bias")


def train_numpy(x, w, batch, sweeps, chains):
    import numpy as np

    rng = np.random.Generator(np.random.SFC64(1))
    n, (d, h) = chains or batch, w.shape
    b, c = np.zeros(d, "f"), np.zeros(h, "f")
    kept = rng.integers(0, 2, (n, d)).astype("f")
    data_mean, mean, coins_h = np.empty((batch, h), "f"), np.empty((n, h), "f"), np.empty((n, h), "f")
    pixels, coins_v, step = np.empty((n, d), "f"), np.empty((n, d), "f"), np.empty_like(w)

    def respond(states, factor, bias, out):
        np.dot(states, factor, out=out)
        out += bias
        np.negative(out, out=out)
        np.exp(out, out=out)
        out += 1
        return np.reciprocal(out, out=out)

    def draw(p, coins):
        rng.random(out=coins, dtype="f")
        return np.less(coins, p, out=coins, casting="unsafe")

    def work(samples):
        order = rng.permutation(len(x))[:samples]
        for first in range(0, samples, batch):
            v = x[order[first:first + batch]]
            respond(v, w, c, data_mean)
            if chains:
                respond(kept, w, c, mean)
            else:
                mean[:] = data_mean
            for _ in range(sweeps):
                u = draw(respond(draw(mean, coins_h), w.T, b, pixels), coins_v)
                respond(u, w, c, mean)
            if chains:
                kept[:] = u
            for sign, states, means in ((RATE / batch, v, data_mean), (-RATE / n, u, mean)):
                np.dot(states.T, means, out=step)
                np.multiply(step, sign, out=step)
                np.add(w, step, out=w)
            b[:] += RATE * (v.mean(0) - u.mean(0))
            c[:] += RATE * (data_mean.mean(0) - mean.mean(0))

    return work


def train_torch(x, w, batch, sweeps, chains):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    x, w, n = torch.from_numpy(x), torch.from_numpy(w), chains or batch
    d, h = w.shape
    b, c, kept = torch.zeros(d), torch.zeros(h), torch.bernoulli(torch.full((n, d), 0.5))
    data_mean, mean, coins_h = torch.empty(batch, h), torch.empty(n, h), torch.empty(n, h)
    pixels, coins_v = torch.empty(n, d), torch.empty(n, d)

    def respond(states, factor, bias, out):
        return torch.addmm(bias, states, factor, out=out).sigmoid_()

    def draw(p, coins):
        return torch.lt(coins.uniform_(), p, out=coins)

    @torch.inference_mode()
    def work(samples):
        nonlocal kept
        order = torch.randperm(len(x))[:samples]
        for first in range(0, samples, batch):
            v = x[order[first:first + batch]]
            respond(v, w, c, data_mean)
            if chains:
                respond(kept, w, c, mean)
            else:
                mean.copy_(data_mean)
            for _ in range(sweeps):
                u = draw(respond(draw(mean, coins_h), w.t(), b, pixels), coins_v)
                respond(u, w, c, mean)
            if chains:
                kept.copy_(u)
            w.addmm_(v.t(), data_mean, alpha=RATE / batch)
            w.addmm_(u.t(), mean, alpha=-RATE / n)
            b.add_(v.mean(0) - u.mean(0), alpha=RATE)
            c.add_(data_mean.mean(0) - mean.mean(0), alpha=RATE)

    return work


def train_jax(x, w, batch, sweeps, chains):
    import jax
    import jax.numpy as jnp
    from functools import partial

    x, n = jnp.asarray(x), chains or batch
    d, h = w.shape

    def draw(key, p):
        return (jax.random.uniform(key, p.shape) < p).astype(jnp.float32)

    def update(state, of_batch):
        w, b, c, kept = state
        index, key = of_batch
        v = x[index]
        data_mean = jax.nn.sigmoid(v @ w + c)
        mean = jax.nn.sigmoid(kept @ w + c) if chains else data_mean
        keys = jax.random.split(key, 2 * sweeps)

        def sweep(k, at):
            hidden = draw(keys[2 * k], at[0])
            visible = draw(keys[2 * k + 1], jax.nn.sigmoid(hidden @ w.T + b))
            return jax.nn.sigmoid(visible @ w + c), visible

        start = (mean, kept)
        mean, u = jax.lax.fori_loop(0, sweeps, sweep, start) if sweeps > 1 else sweep(0, start)
        w = w + RATE * (v.T @ data_mean / batch - u.T @ mean / n)
        b = b + RATE * (v.mean(0) - u.mean(0))
        return (w, b, c + RATE * (data_mean.mean(0) - mean.mean(0)), u), None

    @partial(jax.jit, static_argnums=2, donate_argnums=0)
    def epoch(state, key, samples):
        first, second = jax.random.split(key)
        order = jax.random.permutation(first, len(x))[:samples].reshape(samples // batch, batch)
        return jax.lax.scan(update, state, (order, jax.random.split(second, samples // batch)))[0]

    at = {"key": jax.random.key(0, impl="threefry2x32")}
    at["state"] = (jnp.asarray(w), jnp.zeros(d), jnp.zeros(h), jnp.zeros((n, d)))

    def work(samples):
        at["key"], key = jax.random.split(at["key"])
        at["state"] = jax.block_until_ready(epoch(at["state"], key, samples))

    return work


def train_sklearn(x, w, batch, sweeps, chains):
    from sklearn.neural_network import BernoulliRBM

    def work(samples):
        BernoulliRBM(w.shape[1], learning_rate=RATE, batch_size=batch, n_iter=1, random_state=0).fit(x[:samples])

    return work


def train_rbms(x, w, batch, sweeps, chains):
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.training.pcd import fit_batch_pcd

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    x, d, h = torch.from_numpy(x), *w.shape
    ones = torch.ones(len(x), 1)
    model = BBRBM(torch.from_numpy(w), torch.zeros(d), torch.zeros(h))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, maximize=True)
    at = {"chains": model.init_chains(chains or batch)}

    @torch.no_grad()
    def work(samples):
        order = torch.randperm(len(x))[:samples]
        for first in range(0, samples, batch):
            index = order[first:first + batch]
            if not chains:
                at["chains"] = model.init_chains(batch, start_v=x[index])
            optimizer.zero_grad(set_to_none=False)
            data = (x[index], ones[index])
            at["chains"], _ = fit_batch_pcd(data, at["chains"], model, sweeps, 1.0, centered=False)
            optimizer.step()

    return work


def train_learnergy(x, w, batch, sweeps, chains):
    import logging

    import torch
    from torch.utils.data import TensorDataset

    logging.disable(logging.CRITICAL)
    from learnergy.models.bernoulli import RBM

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = RBM(VISIBLE, w.shape[1], steps=sweeps, learning_rate=RATE)
    model.logger = None
    x = torch.from_numpy(x)
    return lambda n: model.fit(TensorDataset(x[:n], torch.zeros(n)), batch_size=batch, epochs=1)


def gibbs_numpy(w, b, c):
    import numpy as np

    rng, n = np.random.Generator(np.random.SFC64(1)), 1000
    at = {"v": rng.integers(0, 2, (n, VISIBLE)).astype("f")}
    buffers = [(np.empty((n, k), "f"), np.empty((n, k), "f")) for k in w.shape[::-1]]

    def draw(states, factor, bias, p, coins):
        np.dot(states, factor, out=p)
        p += bias
        np.negative(p, out=p)
        np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        rng.random(out=coins, dtype="f")
        return np.less(coins, p, out=coins, casting="unsafe")

    def work(sweeps):
        for _ in range(sweeps):
            at["v"] = draw(draw(at["v"], w, c, *buffers[0]), w.T, b, *buffers[1])

    return work


def gibbs_torch(w, b, c):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    w, b, c, n = torch.from_numpy(w), torch.from_numpy(b), torch.from_numpy(c), 1000
    at = {"v": torch.bernoulli(torch.full((n, VISIBLE), 0.5))}
    (ph, uh), (pv, uv) = [(torch.empty(n, k), torch.empty(n, k)) for k in w.shape[::-1]]

    @torch.inference_mode()
    def work(sweeps):
        v = at["v"]
        for _ in range(sweeps):
            h = torch.lt(uh.uniform_(), torch.addmm(c, v, w, out=ph).sigmoid_(), out=uh)
            v = torch.lt(uv.uniform_(), torch.addmm(b, h, w.t(), out=pv).sigmoid_(), out=uv)
        at["v"] = v

    return work


def gibbs_jax(w, b, c):
    import jax
    import jax.numpy as jnp
    from functools import partial

    w, b, c = jnp.asarray(w), jnp.asarray(b), jnp.asarray(c)
    at = {"v": jnp.zeros((1000, VISIBLE)), "key": jax.random.key(0, impl="threefry2x32")}

    @partial(jax.jit, static_argnums=2)
    def sweep_all(v, key, sweeps):
        def sweep(v, key):
            first, second = jax.random.split(key)
            p = jax.nn.sigmoid(v @ w + c)
            h = (jax.random.uniform(first, p.shape) < p).astype(jnp.float32)
            p = jax.nn.sigmoid(h @ w.T + b)
            return (jax.random.uniform(second, p.shape) < p).astype(jnp.float32), None

        return jax.lax.scan(sweep, v, jax.random.split(key, sweeps))[0]

    def work(sweeps):
        at["key"], key = jax.random.split(at["key"])
        at["v"] = jax.block_until_ready(sweep_all(at["v"], key, sweeps))

    return work


def ais_torch(w, b, c):
    import numpy as np
    import torch
    import torch.nn.functional as functional

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    w, b, c, n = torch.from_numpy(w), torch.from_numpy(b), torch.from_numpy(c), 100
    (uh, uv), base = [torch.empty(n, k) for k in w.shape[::-1]], torch.zeros(VISIBLE)

    @torch.inference_mode()
    def work(temperatures):
        betas, log_weights = np.linspace(0, 1, temperatures + 1), torch.zeros(n)
        v = torch.bernoulli(torch.full((n, VISIBLE), 0.5))
        for before, after in zip(map(float, betas), map(float, betas[1:])):
            field = torch.addmm(c, v, w)
            softplus = functional.softplus
            log_weights += (after - before) * (v @ (b - base))
            log_weights += (softplus(after * field) - softplus(before * field)).sum(1)
            h = torch.lt(uh.uniform_(), (field * after).sigmoid_(), out=uh)
            p = torch.addmm(b, h, w.t(), alpha=after, beta=after).add_(base, alpha=1 - after).sigmoid_()
            v = torch.lt(uv.uniform_(), p, out=uv)
        return torch.logsumexp(log_weights, 0)

    return work


def ais_jax(w, b, c):
    import jax
    import jax.numpy as jnp
    from functools import partial

    w, b, c, n = jnp.asarray(w), jnp.asarray(b), jnp.asarray(c), 100

    @partial(jax.jit, static_argnums=1)
    def anneal(key, temperatures):
        betas = jnp.linspace(0, 1, temperatures + 1)

        def cool(state, at):
            v, log_weights = state
            before, after, key = at
            first, second = jax.random.split(key)
            field = v @ w + c
            softplus = jax.nn.softplus
            log_weights += (after - before) * (v @ b)
            log_weights += (softplus(after * field) - softplus(before * field)).sum(1)
            h = (jax.random.uniform(first, field.shape) < jax.nn.sigmoid(after * field)).astype(jnp.float32)
            p = jax.nn.sigmoid(after * (h @ w.T + b))
            return ((jax.random.uniform(second, p.shape) < p).astype(jnp.float32), log_weights), None

        first, key = jax.random.split(key)
        v = (jax.random.uniform(first, (n, VISIBLE)) < 0.5).astype(jnp.float32)
        keys = jax.random.split(key, temperatures)
        return jax.lax.scan(cool, (v, jnp.zeros(n)), (betas[:-1], betas[1:], keys))[0][1]

    key = jax.random.key(0, impl="threefry2x32")
    return lambda temperatures: jax.block_until_ready(anneal(key, temperatures))


# -------------------------------------------------------------------------------------------------------------- Hopfield
def hopfield(peer, kind, n):
    """Seconds of a case: the median of five repeats after one that is not counted; of slow ones a tenth, scaled."""
    import numpy as np

    rng = np.random.default_rng(0)
    patterns = rng.choice(np.array([-1, 1], np.int8), (n // 20, n))
    cues = patterns[np.arange(100) % len(patterns)] * np.where(rng.random((100, n)) < 0.1, -1, 1).astype(np.int8)
    if kind == "sync_random":
        cues = rng.choice(np.array([-1, 1], np.int8), (100, n))
    works = globals()["hopfield_" + peer](patterns, cues, rng)
    stored = works["store"]()
    work, part = works["sync" if kind.startswith("sync") else kind], 0.1 if peer == "hopfieldnetwork" and kind != "store" else 1.0
    times = []
    for _ in range(6):
        began = time.perf_counter()
        work(*([] if kind == "store" else [stored]))
        times.append((time.perf_counter() - began) / part)
        if times[0] > 10:
            break
    return statistics.median(times[1:] or times)


def hopfield_numpy(patterns, cues, rng):
    import numpy as np

    n, x, cues = patterns.shape[1], patterns.astype("f"), cues.astype("f")

    def store():
        w = x.T @ x
        w *= 1 / n
        np.fill_diagonal(w, 0)
        return w

    def sync(w):
        s = cues
        for _ in range(10):
            s = np.where(s @ w >= 0, np.float32(1), np.float32(-1))
        return s

    def one_by_one(w):
        for cue in cues[:10]:
            s = cue.copy()
            field = w @ s
            for _ in range(2):
                for i in rng.permutation(n):
                    new = 1.0 if field[i] >= 0 else -1.0
                    if new != s[i]:
                        s[i] = new
                        field += w[i] * np.float32(2 * new)

    return {"store": store, "sync": sync, "async": one_by_one}


def hopfield_hopfieldnetwork(patterns, cues, rng):
    import numpy as np
    from hopfieldnetwork import HopfieldNetwork

    def store():
        model = HopfieldNetwork(patterns.shape[1])
        model.train_pattern(np.ascontiguousarray(patterns.T))
        return model

    def sync(model):  # ten of a hundred
        for cue in cues[:10]:
            model.set_initial_neurons_state(cue.copy())
            model.update_neurons(10, "sync")

    def one_by_one(model):  # one of ten
        model.set_initial_neurons_state(cues[0].copy())
        model.update_neurons(2, "async")

    return {"store": store, "sync": sync, "async": one_by_one}


def hopfield_hopfieldkit(patterns, cues, rng):
    from hopfieldkit import HopfieldNetwork

    def one_by_one(model):
        for cue in cues[:10]:
            model.recall(cue, max_steps=2, seed=0)

    return {"store": lambda: HopfieldNetwork(patterns.shape[1]).fit(patterns), "async": one_by_one}


# ----------------------------------------------------------------------------------------------------------------- Ising
COUPLING = 0.4


def ising(peer, side, chains, sweeps):
    """Seconds of a case: the median of five repeats after one that is not counted; of thrml one of a part, scaled."""
    work, part, reps = globals()["ising_" + peer.replace("-", "_")](side, chains, sweeps)
    times = []
    for _ in range(reps + 1):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) / part)
    return statistics.median(times[1:])


def ising_jax(side, chains, sweeps):
    import jax
    import jax.numpy as jnp

    even = (jnp.arange(side) % 2 == 0)[:, None]

    def respond(other, key, flipped):
        beside = jnp.where(even != flipped, jnp.roll(other, 1, 2), jnp.roll(other, -1, 2))
        field = other + beside + jnp.roll(other, 1, 1) + jnp.roll(other, -1, 1)
        return jnp.where(jax.random.uniform(key, other.shape) < jax.nn.sigmoid(2 * COUPLING * field), 1.0, -1.0)

    def sweep(state, key):
        first, second = jax.random.split(key)
        zero = respond(state[1], first, False)
        return (zero, respond(zero, second, True)), None

    run = jax.jit(lambda state, key: jax.lax.scan(sweep, state, jax.random.split(key, sweeps))[0])
    at = [(jnp.ones((chains, side, side // 2)),) * 2, jax.random.key(0, impl="threefry2x32")]

    def work():
        at[1], key = jax.random.split(at[1])
        at[0] = jax.block_until_ready(run(at[0], key))

    return work, 1.0, 5


def ising_jax_whole(side, chains, sweeps):
    import jax
    import jax.numpy as jnp

    colour = (jnp.arange(side)[:, None] + jnp.arange(side)) % 2

    def respond(s, key, which):
        field = jnp.roll(s, 1, 1) + jnp.roll(s, -1, 1) + jnp.roll(s, 1, 2) + jnp.roll(s, -1, 2)
        new = jnp.where(jax.random.uniform(key, s.shape) < jax.nn.sigmoid(2 * COUPLING * field), 1.0, -1.0)
        return jnp.where(colour == which, new, s)

    def sweep(s, key):
        first, second = jax.random.split(key)
        return respond(respond(s, first, 0), second, 1), None

    part = 0.1
    run = jax.jit(lambda s, key: jax.lax.scan(sweep, s, jax.random.split(key, round(part * sweeps)))[0])
    at = [jnp.ones((chains, side, side)), jax.random.key(0, impl="threefry2x32")]

    def work():
        at[1], key = jax.random.split(at[1])
        at[0] = jax.block_until_ready(run(at[0], key))

    return work, part, 5


def ising_thrml(side, chains, sweeps):
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    chains_of_part, sweeps_of_part = chains // 8, sweeps // 50
    nodes = [[SpinNode() for _ in range(side)] for _ in range(side)]
    edges = [(nodes[i][j], nodes[(i + a) % side][(j + b) % side])
             for i in range(side) for j in range(side) for a, b in ((1, 0), (0, 1))]
    flat = [node for row in nodes for node in row]
    model = IsingEBM(flat, edges, jnp.zeros(len(flat)), jnp.full(len(edges), COUPLING), jnp.array(1.0))
    free = [Block([nodes[i][j] for i in range(side) for j in range(side) if (i + j) % 2 == c]) for c in (0, 1)]
    program = IsingSamplingProgram(model, free, clamped_blocks=[])
    start = hinton_init(jax.random.key(0), model, free, (chains_of_part,))
    schedule = SamplingSchedule(sweeps_of_part, 1, 1)
    run = jax.jit(jax.vmap(lambda s, k: sample_states(k, program, schedule, s, [], [Block(flat)])))
    keys = jax.random.split(jax.random.key(1), chains_of_part)
    return lambda: jax.block_until_ready(run(start, keys)), chains_of_part * sweeps_of_part / (chains * sweeps), 2


def langevin(peer, x):
    """Seconds of 50 updates: the median of five repeats after one that is not counted."""
    work = langevin_torch(x) if peer == "torch" else langevin_jax(x, "rbg" if peer == "jax-rbg" else "threefry2x32")
    times = []
    for _ in range(6):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def langevin_torch(x):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    x, silu = torch.from_numpy(x), torch.nn.SiLU
    net = torch.nn.Sequential(torch.nn.Linear(VISIBLE, 256), silu(), torch.nn.Linear(256, 256), silu(),
                              torch.nn.Linear(256, 1))
    adam, parameters = torch.optim.Adam(net.parameters(), lr=1e-4), list(net.parameters())

    def chains():
        for p in parameters:
            p.requires_grad_(False)
        state, noise = torch.rand(CHAINS, VISIBLE), torch.empty(CHAINS, VISIBLE)
        for _ in range(STEPS):
            state.requires_grad_(True)
            slope = torch.autograd.grad(net(state).sum(), state)[0]
            with torch.no_grad():
                state = (state - 5.0 * slope + noise.normal_(0.0, 0.005)).clamp_(0.0, 1.0)
        for p in parameters:
            p.requires_grad_(True)
        return state

    def work():
        for _ in range(UPDATES):
            data, model = net(x[torch.randint(len(x), (CHAINS,))]), net(chains())
            adam.zero_grad()
            (data.mean() - model.mean() + 0.01 * (data.square() + model.square()).mean()).backward()
            adam.step()

    return work


def langevin_jax(x, generator):
    import jax
    import jax.numpy as jnp

    x, sizes = jnp.asarray(x), (VISIBLE, 256, 256, 1)
    keys = jax.random.split(jax.random.key(0), 3)
    net = [(jax.random.normal(k, (a, b)) / a ** 0.5, jnp.zeros(b)) for k, a, b in zip(keys, sizes, sizes[1:])]
    tree = jax.tree.map

    def energy(net, at):
        for w, b in net[:-1]:
            at = jax.nn.silu(at @ w + b)
        return (at @ net[-1][0] + net[-1][1])[:, 0]

    slope = jax.grad(lambda at, net: energy(net, at).sum())

    def update(carry, key):
        net, first, second, count = carry
        chosen, start, steps = jax.random.split(key, 3)
        data = x[jax.random.randint(chosen, (CHAINS,), 0, len(x))]

        def step(at, key):
            moved = at - 5.0 * slope(at, net) + 0.005 * jax.random.normal(key, at.shape)
            return jnp.clip(moved, 0.0, 1.0), None

        state = jax.lax.scan(step, jax.random.uniform(start, (CHAINS, VISIBLE)), jax.random.split(steps, STEPS))[0]

        def loss(net):
            of_data, of_model = energy(net, data), energy(net, state)
            return of_data.mean() - of_model.mean() + 0.01 * (of_data ** 2 + of_model ** 2).mean()

        grad, count = jax.grad(loss)(net), count + 1
        first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, grad)
        second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, grad)
        moved = tree(lambda p, m, v: p - 1e-4 * m / (1 - 0.9 ** count) / (jnp.sqrt(v / (1 - 0.999 ** count)) + 1e-8),
                     net, first, second)
        return (moved, first, second, count), None

    run = jax.jit(lambda carry, key: jax.lax.scan(update, carry, jax.random.split(key, UPDATES))[0])
    zero = tree(jnp.zeros_like, net)
    at = [(net, zero, zero, jnp.array(0.0)), jax.random.key(1, impl=generator)]

    def work():
        at[1], key = jax.random.split(at[1])
        at[0] = jax.block_until_ready(run(at[0], key))

    return work


if __name__ == "__main__":
    main()
