//! An existing fragment, opened for reading.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pages::Pages;
use super::stats::Description;
use super::{FORMAT, FragmentError, KEY_FORMAT, KEY_FRAGMENT, KEY_SORT, Result, SortColumn, invalid};

pub struct Input {
    pub path: PathBuf,
    pub pages: Arc<Pages>,
    pub footer: BTreeMap<String, String>,
    pub description: Description,
    pub sort: Vec<SortColumn>,
}

impl Input {
    pub fn open(path: &Path) -> Result<Input> {
        let pages = Arc::new(Pages::open(File::open(path)?)?);
        let footer = pages.key_values();
        check_format(&footer)?;
        let description: Description = parse(&footer, KEY_FRAGMENT)?;
        let sort = parse::<Vec<String>>(&footer, KEY_SORT)?.iter().map(|text| SortColumn::parse(text)).collect();
        Ok(Input { path: path.to_path_buf(), pages, footer, description, sort })
    }
}

fn check_format(footer: &BTreeMap<String, String>) -> Result<()> {
    match footer.get(KEY_FORMAT).map(String::as_str) {
        Some(FORMAT) => Ok(()),
        Some(other) => invalid(format!("the fragment has format {other:.20}, this release knows {FORMAT}; upgrade Pulka")),
        None => invalid(format!("the file is no fragment: its footer has no {KEY_FORMAT}")),
    }
}

fn parse<T: serde::de::DeserializeOwned>(footer: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let text = footer.get(key).map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|_| FragmentError::Invalid(format!("the footer's {key} is missing or broken")))
}
