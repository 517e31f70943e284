#!/usr/bin/env python3
"""Latent Dirichlet allocation (scikit-learn) on the documents that `documents --export FILE` wrote: the same counts, the same split.

    lda.py FILE [--topics 50] [--iterations 30] [--seed 1] [--alpha F] [--eta F]

Prints a JSON line with three perplexities of the test documents, none of which is exact:
- `by_document`: exp(-(1/N) sum_n L_n / D_n), the average of Salakhutdinov and Hinton (2009), with L_n the variational lower bound of
  log p of the words of document n, the topics' words at their posterior means: an upper bound of the perplexity of these topics;
- `by_word`: exp(-sum_n L_n / sum_n D_n), with the same bounds;
- `sampled_by_document`, `sampled_by_word`: the same with log p of a document estimated from its Dirichlet prior by importance sampling
  from the variational posterior, widened by mixing it with the prior (`--samples` draws): nearer to the truth, on average too
  pessimistic by what is left. This is the fair number beside a replicated softmax whose log Z is estimated;
- `sklearn`: its own `perplexity(test)`, which adds the bound of the topics' words to the sum, by word.
"""
import argparse
import json
import time

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln, logsumexp, psi
from sklearn.decomposition import LatentDirichletAllocation


def read(path):
    """Counts (documents x words) of both parts."""
    parts = {"train": [], "test": []}
    with open(path) as lines:
        words = len(json.loads(next(lines))["vocabulary"])
        for line in lines:
            document = json.loads(line)
            parts[document["part"]].append(document["counts"])
    return [matrix(parts[part], words) for part in ("train", "test")]


def matrix(documents, words):
    ends = np.cumsum([0] + [len(d) for d in documents])
    index = [w for d in documents for w, _ in d]
    counts = [c for d in documents for _, c in d]
    return csr_matrix((counts, index, ends), shape=(len(documents), words), dtype=np.float64)


def dirichlet_log_density(log_theta, alpha):
    return ((alpha - 1) * log_theta).sum(-1) + gammaln(alpha.sum(-1)) - gammaln(alpha).sum(-1)


def estimates(model, test, samples, rng):
    """Of each document the lower bound of log p of its words in order, and its estimate by importance sampling."""
    topics = model.components_ / model.components_.sum(1, keepdims=True)
    k, prior = model.n_components, model.doc_topic_prior_
    alpha = np.full(k, prior)
    gamma = model.transform(test, normalize=False)
    bounds, sampled = [], []
    for n in range(test.shape[0]):
        row = slice(test.indptr[n], test.indptr[n + 1])
        own, counts = topics[:, test.indices[row]], test.data[row]
        g = gamma[n]
        expected = psi(g) - psi(g.sum())
        bound = (counts * logsumexp(expected[:, None] + np.log(own), axis=0)).sum()
        bound += ((alpha - g) * expected).sum() + gammaln(alpha.sum()) - gammaln(alpha).sum()
        bounds.append(bound + gammaln(g).sum() - gammaln(g.sum()))
        # Half of the draws from the posterior's approximation, half from one that is wider.
        wide = alpha + 0.5 * (g - alpha)
        theta = np.concatenate([rng.dirichlet(g, samples // 2), rng.dirichlet(wide, samples // 2)])
        theta = np.maximum(theta, 1e-300)
        log_theta = np.log(theta)
        proposal = np.logaddexp(dirichlet_log_density(log_theta, g), dirichlet_log_density(log_theta, wide)) - np.log(2)
        weights = dirichlet_log_density(log_theta, alpha) - proposal + np.log(theta @ own) @ counts
        sampled.append(logsumexp(weights) - np.log(len(weights)))
    return np.array(bounds), np.array(sampled)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alpha", type=float, help="prior of topics in a document; 1 / topics unless set")
    parser.add_argument("--eta", type=float, help="prior of words in a topic; 1 / topics unless set")
    parser.add_argument("--samples", type=int, default=400)
    settings = parser.parse_args()
    train, test = read(settings.file)
    began = time.time()
    model = LatentDirichletAllocation(settings.topics, doc_topic_prior=settings.alpha, topic_word_prior=settings.eta,
                                      max_iter=settings.iterations, learning_method="online", batch_size=256,
                                      total_samples=train.shape[0], random_state=settings.seed)
    model.fit(train)
    seconds = time.time() - began
    lengths = np.asarray(test.sum(1)).ravel()
    bounds, sampled = estimates(model, test, settings.samples, np.random.default_rng(settings.seed))
    told = {"topics": settings.topics, "alpha": settings.alpha, "eta": settings.eta, "iterations": settings.iterations,
            "seconds": round(seconds, 1)}
    for name, log_p in [("", bounds), ("sampled_", sampled)]:
        told[name + "by_document"] = float(np.exp(-(log_p / lengths).mean()))
        told[name + "by_word"] = float(np.exp(-log_p.sum() / lengths.sum()))
    told["sklearn"] = float(model.perplexity(test))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
