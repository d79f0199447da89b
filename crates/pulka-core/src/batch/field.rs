//! Fields, their types, and how a physical column of a batch says which field it holds.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, TimeUnit};

/// Column of the events' time.
pub const TIMESTAMP: &str = "timestamp";
/// Column of canonical JSON objects with the sparse fields.
pub const RESIDUAL: &str = "_residual";
/// Arrow field metadata: the path, when it differs from the column's name.
pub const META_PATH: &str = "pulka.path";
/// Arrow field metadata: the type, when it does not follow from the Arrow type.
pub const META_TYPE: &str = "pulka.type";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldType {
    Timestamp,
    Bool,
    I64,
    F64,
    Str,
    Json,
}

impl FieldType {
    pub const ALL: [FieldType; 6] =
        [FieldType::Timestamp, FieldType::Bool, FieldType::I64, FieldType::F64, FieldType::Str, FieldType::Json];

    pub fn name(self) -> &'static str {
        match self {
            FieldType::Timestamp => "timestamp",
            FieldType::Bool => "bool",
            FieldType::I64 => "i64",
            FieldType::F64 => "f64",
            FieldType::Str => "str",
            FieldType::Json => "json",
        }
    }

    pub fn parse(name: &str) -> Option<FieldType> {
        FieldType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn arrow(self) -> DataType {
        match self {
            FieldType::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            FieldType::Bool => DataType::Boolean,
            FieldType::I64 => DataType::Int64,
            FieldType::F64 => DataType::Float64,
            FieldType::Str | FieldType::Json => DataType::Utf8,
        }
    }

    /// The type a column has when its metadata is silent.
    pub fn of_arrow(kind: &DataType) -> Option<FieldType> {
        match kind {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(FieldType::Timestamp),
            DataType::Boolean => Some(FieldType::Bool),
            DataType::Int64 => Some(FieldType::I64),
            DataType::Float64 => Some(FieldType::F64),
            DataType::Utf8 => Some(FieldType::Str),
            _ => None,
        }
    }
}

/// A field's path and the one type a physical column holds of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column {
    pub path: String,
    pub kind: FieldType,
}

impl Column {
    /// Read a column from its Arrow field; None when the Arrow type is none of ours (or the residual's).
    pub fn of(field: &Field) -> Option<Column> {
        if field.name() == RESIDUAL {
            return None;
        }
        let path = field.metadata().get(META_PATH).unwrap_or(field.name()).clone();
        let kind = match field.metadata().get(META_TYPE) {
            Some(name) => FieldType::parse(name)?,
            None => FieldType::of_arrow(field.data_type())?,
        };
        Some(Column { path, kind })
    }

    /// The Arrow field that stores this column under `name`.
    pub fn to_arrow(&self, name: &str, nullable: bool) -> Field {
        let mut metadata = HashMap::new();
        if name != self.path {
            metadata.insert(META_PATH.to_string(), self.path.clone());
        }
        let data_type = self.kind.arrow();
        if FieldType::of_arrow(&data_type) != Some(self.kind) {
            metadata.insert(META_TYPE.to_string(), self.kind.name().to_string());
        }
        Field::new(name, data_type, nullable).with_metadata(metadata)
    }
}

/// Names for the physical columns of a batch, in the order given: each column with the number of rows it has and
/// whether its type is the declared one of a well-known field. The fullest (or declared) column of a path gets the bare name.
pub fn name_columns(columns: &[(Column, usize, bool)]) -> Vec<String> {
    let mut bare: HashMap<&str, usize> = HashMap::new();
    for (index, (column, rows, declared)) in columns.iter().enumerate() {
        let best = bare.entry(&column.path).or_insert(index);
        let (_, best_rows, best_declared) = &columns[*best];
        if (*declared, *rows) > (*best_declared, *best_rows) {
            *best = index;
        }
    }
    let mut taken: hashbrown::HashSet<String> = bare.keys().map(|path| path.to_string()).collect();
    taken.insert(RESIDUAL.to_string());
    columns
        .iter()
        .enumerate()
        .map(|(index, (column, _, _))| {
            if bare[column.path.as_str()] == index && column.path != RESIDUAL {
                return column.path.clone();
            }
            let mut name = format!("{}#{}", column.path, column.kind.name());
            while !taken.insert(name.clone()) {
                name.push('#');
            }
            name
        })
        .collect()
}
