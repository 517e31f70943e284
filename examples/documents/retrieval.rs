//! How many of the documents nearest to a query are of its class.

use harmonium::Mat;

/// So many of the nearest are looked at.
pub(crate) const NEAREST: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
/// Queries that are compared at a time.
const CHUNK: usize = 200;

/// Mean precision and recall over queries, at each of [`NEAREST`] that there are.
pub(crate) struct Retrieval {
    pub(crate) precision: Vec<f64>,
    pub(crate) recall: Vec<f64>,
}

/// Nearest by the cosine of vectors, columns of `all` and of `queries`; classes of both.
pub(crate) fn retrieve((all, classes): (&Mat, &[u8]), (queries, own): (&Mat, &[u8])) -> Retrieval {
    let (all, queries) = (scaled(all), scaled(queries));
    rank(&|first, n| all.tr_mul(&queries.columns(first, n)), classes, own)
}

/// The same by any likeness: `like(first, n)` is that of all documents (rows) and of `n` queries from `first` on.
pub(crate) fn rank(like: &dyn Fn(usize, usize) -> Mat, classes: &[u8], own: &[u8]) -> Retrieval {
    let looks: Vec<usize> = NEAREST.iter().copied().filter(|&k| k <= classes.len()).collect();
    let (mut precision, mut recall) = (vec![0.0; looks.len()], vec![0.0; looks.len()]);
    for first in (0..own.len()).step_by(CHUNK) {
        let n = CHUNK.min(own.len() - first);
        let likeness = like(first, n);
        for j in 0..n {
            let (column, class) = (likeness.column(j), own[first + j]);
            let mut nearest: Vec<usize> = (0..classes.len()).collect();
            nearest.sort_by(|&a, &b| column[b].total_cmp(&column[a]));
            let relevant = classes.iter().filter(|c| **c == class).count().max(1);
            for (i, &k) in looks.iter().enumerate() {
                let right = nearest[..k].iter().filter(|d| classes[**d] == class).count() as f64;
                precision[i] += right / (k * own.len()) as f64;
                recall[i] += right / (relevant * own.len()) as f64;
            }
        }
    }
    Retrieval { precision, recall }
}

/// Columns of length 1; those of zeros stay.
fn scaled(vectors: &Mat) -> Mat {
    let mut scaled = vectors.clone();
    for mut x in scaled.column_iter_mut() {
        let _ = x.try_normalize_mut(0.0);
    }
    scaled
}
