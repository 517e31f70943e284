//! A checkpoint as a file: the tree of a [`Saved`] state and the settings it was made with, as tensors with a checksum.
//!
//! An entry `x` of the child `chains` of the child `objective` is the tensor `objective/chains/x`; a child without entries is
//! an empty tensor `objective/chains/`. Settings are metadata. The checksum covers all of it, so that a file that was cut or
//! damaged, and still looks like one, is known. What a state means, and when it is written, is not known here.

use super::{Tensor, TensorFile, Values, read};
use crate::{Error, Result, Saved};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the format that is written; files of no other are read.
pub const CHECKPOINT_FORMAT: &str = "1";
/// Metadata that the format itself uses.
const FORMAT: &str = "harmonium_checkpoint";
const CHECKSUM: &str = "checksum";
/// Before the name of a setting in the metadata.
const SETTING: &str = "setting ";

/// A state and the settings that it belongs to.
///
/// ```
/// use harmonium::{Saved, io::Checkpoint};
/// let mut state = Saved::default();
/// state.child_mut("optimizer").put("velocity", &[1.0, 2.0]);
/// let path = std::env::temp_dir().join(format!("harmonium-{}.safetensors", std::process::id()));
/// let written = Checkpoint { settings: [("hidden".into(), "500".into())].into(), state };
/// written.write(&path)?;
/// assert_eq!(Checkpoint::read(&path)?, written);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), harmonium::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The settings, by name.
    pub settings: BTreeMap<String, String>,
    /// The state.
    pub state: Saved,
}

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It was cut or damaged; an earlier one may be whole.
    Damaged(Error),
    /// It is whole, or may be, but not for us; or the system refuses.
    Refused(Error),
}
impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Damaged(error) | Unusable::Refused(error) => error,
        }
    }
}

impl Checkpoint {
    /// Writes the file at `path`, or leaves what is there.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`Error::Value`] if a number of the state is not finite (a state that has
    /// broken down is worth nothing) or the name of an entry holds a `/` or is empty.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.to_file()?.write(path)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Value`] as [`Checkpoint::write`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_file()?.to_bytes()
    }

    fn to_file(&self) -> Result<TensorFile> {
        let settings = self.settings.iter().map(|(name, value)| (format!("{SETTING}{name}"), value.clone()));
        let mut file = TensorFile { metadata: settings.collect(), ..TensorFile::default() };
        file.metadata.insert(FORMAT.into(), CHECKPOINT_FORMAT.into());
        flatten(&self.state, "", &mut file.tensors)?;
        file.metadata.insert(CHECKSUM.into(), checksum(&file));
        Ok(file)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is no checkpoint, is one of another version, or is
    /// damaged.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::examine(&read(path)?, path)?)
    }

    /// The content of a file from its `bytes`; errors speak of `path`.
    ///
    /// # Errors
    /// [`Error::Format`] as [`Checkpoint::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Ok(Self::examine(bytes, path)?)
    }

    /// [`Checkpoint::parse`], with what kind of refusal it is.
    pub(crate) fn examine(bytes: &[u8], path: &Path) -> std::result::Result<Self, Unusable> {
        let file = TensorFile::parse(bytes, path).map_err(Unusable::Damaged)?;
        let refused = |what: String| Unusable::Refused(Error::format(path, what));
        match file.metadata.get(FORMAT).map(String::as_str) {
            Some(CHECKPOINT_FORMAT) => {}
            Some(other) => {
                return Err(refused(format!(
                    "this is a checkpoint of version {other}; this library reads version {CHECKPOINT_FORMAT}"
                )));
            }
            None => return Err(refused("this is no checkpoint: it does not say its version".into())),
        }
        if file.metadata.get(CHECKSUM) != Some(&checksum(&file)) {
            let what = "the checksum does not agree with the content: the file is damaged";
            return Err(Unusable::Damaged(Error::format(path, what)));
        }
        let settings = file.metadata.iter().filter_map(|(k, v)| Some((k.strip_prefix(SETTING)?.into(), v.clone())));
        Ok(Self { settings: settings.collect(), state: grow(&file, path).map_err(Unusable::Damaged)? })
    }
}

/// CRC-32 of everything but the checksum itself, in the order of the names, in hexadecimal.
fn checksum(file: &TensorFile) -> String {
    let mut crc = crc32fast::Hasher::new();
    for (name, value) in file.metadata.iter().filter(|(name, _)| *name != CHECKSUM) {
        // Lengths before texts, so that no two contents read the same.
        [name, value].into_iter().for_each(|text| {
            crc.update(&(text.len() as u64).to_le_bytes());
            crc.update(text.as_bytes());
        });
    }
    for (name, tensor) in &file.tensors {
        crc.update(&(name.len() as u64).to_le_bytes());
        crc.update(name.as_bytes());
        crc.update(&(tensor.values.len() as u64).to_le_bytes());
        match &tensor.values {
            Values::F32(values) => values.iter().for_each(|x| crc.update(&x.to_le_bytes())),
            Values::U64(values) => values.iter().for_each(|x| crc.update(&x.to_le_bytes())),
        }
    }
    format!("{:08x}", crc.finalize())
}

/// Every entry as a tensor whose name is its path.
fn flatten(saved: &Saved, above: &str, into: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let path = |name: &str| match name.is_empty() || name.contains('/') {
        true => Err(Error::value("the name of an entry of a checkpoint", "not empty, and without `/`", name)),
        false => Ok(format!("{above}{name}")),
    };
    let mut put = |name: String, values: Values| into.insert(name, Tensor { shape: vec![values.len()], values });
    for (name, values) in saved.all_floats() {
        put(path(name)?, Values::F32(values.clone()));
    }
    for (name, values) in saved.all_words() {
        put(path(name)?, Values::U64(values.clone()));
    }
    if saved.all_floats().is_empty() && saved.all_words().is_empty() && saved.children().is_empty() && !above.is_empty()
    {
        put(above.into(), Values::U64(vec![]));
    }
    saved.children().iter().try_for_each(|(name, child)| flatten(child, &(path(name)? + "/"), into))
}

/// The tree whose entries are the tensors of a file.
fn grow(file: &TensorFile, path: &Path) -> Result<Saved> {
    let mut root = Saved::default();
    for (name, tensor) in &file.tensors {
        if tensor.shape.len() != 1 {
            return Err(Error::format(path, format!("tensor `{name}` of a checkpoint must be a vector")));
        }
        let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
        if above.split('/').count() > DEEPEST {
            return Err(Error::format(path, format!("tensor `{name}` lies more than {DEEPEST} levels deep")));
        }
        let parent = above.split('/').filter(|part| !part.is_empty()).fold(&mut root, |at, part| at.child_mut(part));
        match &tensor.values {
            _ if last.is_empty() => {}
            Values::F32(values) => parent.put(last, values),
            Values::U64(values) => parent.put_words(last, values.clone()),
        }
    }
    Ok(root)
}
/// A tree that is deeper was not made by a run, and dropping it could exhaust the stack.
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut state = Saved::default();
        state.put_words("step", vec![3]);
        state.put("params", &[0.5, -0.0, f32::MIN_POSITIVE / 4.0]);
        state.child_mut("objective").child_mut("negative").put("x", &[]);
        state.child_mut("optimizer");
        state.child_mut("monitor").child_mut("0").put_doubles("values", &[f64::NAN, f64::NEG_INFINITY]);
        Checkpoint { settings: [("hidden".into(), "500".into()), ("a = \"b\"".into(), "é\n".into())].into(), state }
    }
    fn bytes(checkpoint: &Checkpoint) -> Vec<u8> {
        checkpoint.to_bytes().unwrap()
    }
    fn refusal(bytes: &[u8]) -> Unusable {
        Checkpoint::examine(bytes, Path::new("c")).unwrap_err()
    }

    #[test]
    fn states_survive_to_the_bit() {
        let back = Checkpoint::parse(&bytes(&sample()), Path::new("c")).unwrap();
        assert_eq!(back, sample());
        assert_eq!(back.state.floats("params").unwrap()[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(bytes(&back), bytes(&sample()));
        assert_eq!(Checkpoint::parse(&bytes(&Checkpoint::default()), Path::new("c")).unwrap(), Checkpoint::default());
    }
    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = bytes(&sample());
        for end in 0..whole.len() {
            assert!(matches!(refusal(&whole[..end]), Unusable::Damaged(_)), "cut at {end}");
        }
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Spaces that fill the header may become other white space, which changes nothing.
            if let Ok(read) = Checkpoint::parse(&flipped, Path::new("c")) {
                assert_eq!(read, sample(), "bit {bit}");
            }
        }
    }
    #[test]
    fn other_versions_and_other_files_are_refused_by_name() {
        let mut newer = bytes(&sample());
        let key = br#""harmonium_checkpoint":""#;
        let at = newer.windows(key.len()).position(|w| w == key).unwrap() + key.len();
        newer[at] = b'7';
        let Unusable::Refused(e) = refusal(&newer) else { panic!("not damage") };
        assert_eq!(e.to_string(), "c: this is a checkpoint of version 7; this library reads version 1");
        let Unusable::Refused(e) = refusal(&TensorFile::default().to_bytes().unwrap()) else { panic!("not damage") };
        assert_eq!(e.to_string(), "c: this is no checkpoint: it does not say its version");
    }
    #[test]
    fn names_and_numbers_that_cannot_come_back_are_not_written() {
        for (name, values) in [("a/b", [0.0]), ("", [0.0]), ("x", [f32::NAN])] {
            let mut state = Saved::default();
            state.child_mut("part").put(name, &values);
            let nowhere = Path::new("never/written");
            let e = Checkpoint { state, ..Checkpoint::default() }.write(nowhere).unwrap_err();
            assert!(matches!(e, Error::Value { .. }), "{name}: {e}");
        }
    }
}
