//! Where the tensors of a model lie, whatever the format of its files.
//!
//! Each lies inside its file and none overlaps another: the format's reader has checked that. Nothing here reads weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;

use super::{LoadError, LoadFault, Names};

/// One tensor.
#[derive(Debug)]
pub(crate) struct Stored {
    pub dtype: GgmlDType,
    pub dims: Vec<usize>,
    /// Which of [`Tensors::files`] holds it.
    pub file: usize,
    /// Its first byte in that file.
    pub start: u64,
}

/// All tensors of a model. They are asked for by the names of GGUF files; errors have the file's own.
pub(crate) struct Tensors {
    files: Vec<PathBuf>,
    names: Names,
    stored: HashMap<String, Stored>,
}

impl Tensors {
    /// `stored` by the files' own names. There is at least one file.
    pub(super) fn new(files: Vec<PathBuf>, names: Names, stored: HashMap<String, Stored>) -> Self {
        Self { files, names, stored }
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Stored> {
        self.stored.get(&*self.names.own(name))
    }

    pub(crate) fn need(&self, name: &str) -> Result<&Stored, LoadError> {
        self.get(name).ok_or_else(|| self.at(0, LoadFault::MissingTensor(self.own(name))))
    }

    /// Fails unless the tensor is there and has this shape.
    pub(crate) fn expect(&self, name: &str, dims: &[usize]) -> Result<(), LoadError> {
        let found = &self.need(name)?.dims;
        if found == dims {
            return Ok(());
        }
        Err(self.bad(name, format!("its shape is {found:?} where {dims:?} is needed")))
    }

    /// The error that the tensor cannot be used.
    pub(crate) fn bad(&self, name: &str, why: String) -> LoadError {
        let file = self.get(name).map_or(0, |stored| stored.file);
        self.at(file, LoadFault::BadTensor { name: self.own(name), why })
    }

    pub(crate) fn names(&self) -> Names {
        self.names
    }

    /// What the files call it.
    pub(crate) fn own(&self, name: &str) -> String {
        self.names.own(name).into_owned()
    }

    /// All tensors by the files' own names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.stored.iter().map(|(own, stored)| (own.as_str(), stored))
    }

    /// The block format that holds most of the weights.
    pub(crate) fn quantization(&self) -> String {
        let mut weights: HashMap<String, usize> = HashMap::new();
        for stored in self.stored.values() {
            *weights.entry(format!("{:?}", stored.dtype)).or_default() += stored.dims.iter().product::<usize>();
        }
        let most = weights.into_iter().max_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        most.map(|(format, _)| format).unwrap_or_default()
    }

    /// The error at one of the files.
    pub(crate) fn at(&self, file: usize, fault: LoadFault) -> LoadError {
        LoadError::new(self.files.get(file).map_or(Path::new(""), PathBuf::as_path), fault)
    }
}
