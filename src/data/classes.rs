//! Labels as a file gives them, words or integers, become classes counted from 0 in sorted order.

/// All the classes that a byte tells apart.
const MOST: usize = 256;

/// The class of each label, and the names of the classes.
///
/// If all labels are integers they are sorted as such, so that 10 comes after 9; else as text, by the bytes.
///
/// # Errors
///
/// What is wrong, if there are more than 256 classes.
pub(super) fn classes(labels: &[String]) -> Result<(Vec<u8>, Vec<String>), String> {
    let integers: Option<Vec<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
    let (classes, names) = match &integers {
        Some(integers) => numbered(integers),
        None => numbered(labels),
    };
    let many = || format!("there are {} different labels in it, and {MOST} can be told apart", names.len());
    Ok((classes.ok_or_else(many)?, names))
}

/// The place of each label among the distinct ones, if a byte can hold it, and those in order.
fn numbered<T: Ord + Clone + ToString>(labels: &[T]) -> (Option<Vec<u8>>, Vec<String>) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |label| u8::try_from(distinct.binary_search(label).unwrap_or(usize::MAX)).ok();
    (labels.iter().map(place).collect(), distinct.iter().map(T::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[&str]) -> Result<(Vec<u8>, Vec<String>), String> {
        classes(&labels.iter().map(|&label| label.into()).collect::<Vec<String>>())
    }

    #[test]
    fn integers_are_sorted_as_integers_and_words_as_words() {
        let names = |of: &[&str]| of.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
        assert_eq!(of(&["10", "9", "-1", "10"]).unwrap(), (vec![2, 1, 0, 2], names(&["-1", "9", "10"])));
        assert_eq!(of(&["10", "9", "b"]).unwrap(), (vec![0, 1, 2], names(&["10", "9", "b"])));
        assert_eq!(of(&[]).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn more_than_a_byte_tells_apart_is_refused() {
        let many: Vec<String> = (0..257).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(of(&many[..256]).unwrap().0[255], 255);
        assert_eq!(of(&many).unwrap_err(), "there are 257 different labels in it, and 256 can be told apart");
    }
}
