//! The files of a folder that say something about its tokenizer.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::{TextError, Tokenizer};

/// Contents of the files; all but the first may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct HuggingFaceFiles<'a> {
    /// `tokenizer.json`
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `generation_config.json`
    pub generation_config: Option<&'a [u8]>,
    /// `config.json`
    pub config: Option<&'a [u8]>,
    /// `chat_template.jinja`, which goes before the one in `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
    /// Name and contents of the files in `additional_chat_templates`.
    pub further_templates: &'a [(String, String)],
}

/// Reads the files and builds the tokenizer.
pub(crate) fn read_folder(folder: &Path) -> Result<Tokenizer, TextError> {
    let tokenizer = read(&folder.join("tokenizer.json"))?;
    let tokenizer_config = read_optional(&folder.join("tokenizer_config.json"))?;
    let generation_config = read_optional(&folder.join("generation_config.json"))?;
    let config = read_optional(&folder.join("config.json"))?;
    let chat_template = read_optional(&folder.join("chat_template.jinja"))?.map(text);
    super::build(&HuggingFaceFiles {
        tokenizer: &tokenizer,
        tokenizer_config: tokenizer_config.as_deref(),
        generation_config: generation_config.as_deref(),
        config: config.as_deref(),
        chat_template: chat_template.as_deref(),
        further_templates: &further_templates(&folder.join("additional_chat_templates"))?,
    })
}

fn further_templates(folder: &Path) -> Result<Vec<(String, String)>, TextError> {
    let mut templates = Vec::new();
    let Ok(listing) = fs::read_dir(folder) else { return Ok(templates) };
    for path in listing.flatten().map(|found| found.path()) {
        let name = path.file_stem().and_then(|name| name.to_str());
        if let (Some(name), Some("jinja")) = (name, path.extension().and_then(|end| end.to_str())) {
            templates.push((name.to_owned(), text(read(&path)?)));
        }
    }
    templates.sort();
    Ok(templates)
}

fn read(path: &Path) -> Result<Vec<u8>, TextError> {
    fs::read(path).map_err(|source| TextError::Read { path: path.into(), source })
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, TextError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TextError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
