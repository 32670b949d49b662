//! Decides where a file goes: Confluent's directories and file names, and back from name to offset.

use millrace_api::TopicPartition;

/// How keys are put together.
///
/// `[topics.dir/]<topic>/partition=<p>/<topic>+<p>+<start offset><extension>`; the directory is of
/// the topic a record has now, the file name of where it was read from, so that two topics which a
/// transformation gives one name cannot overwrite each other's files.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// `topics.dir`; may be empty.
    pub(crate) topics_dir: String,
    /// `directory.delim`.
    pub(crate) directory_delim: String,
    /// `file.delim`.
    pub(crate) file_delim: String,
    /// `filename.offset.zero.pad.width`.
    pub(crate) offset_width: usize,
    /// Such as `.snappy.parquet`.
    pub(crate) extension: String,
}

impl Naming {
    /// The directory of a partition's files, with the delimiter at its end.
    pub(crate) fn directory(&self, topic: &str, partition: i32) -> String {
        let delim = &self.directory_delim;
        let prefix = match self.topics_dir.as_str() {
            "" => String::new(),
            dir => format!("{dir}{delim}"),
        };
        format!("{prefix}{topic}{delim}partition={partition}{delim}")
    }

    /// The key of the file that starts at an offset.
    pub(crate) fn key(&self, directory: &str, source: &TopicPartition, start: i64) -> String {
        let name = self.name_prefix(source);
        let width = self.offset_width;
        format!("{directory}{name}{start:0width$}{}", self.extension)
    }

    /// What the names of all files read from a partition begin with, temporary ones too.
    pub(crate) fn name_prefix(&self, source: &TopicPartition) -> String {
        let delim = &self.file_delim;
        format!("{}{delim}{}{delim}", source.topic, source.partition)
    }

    /// The start offset in a file's name; none when the file is not one of this partition and
    /// format.
    pub(crate) fn start_of(&self, name: &str, source: &TopicPartition) -> Option<i64> {
        let digits = name.strip_prefix(&self.name_prefix(source))?.strip_suffix(&self.extension)?;
        let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        all_digits.then(|| digits.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(topics_dir: &str, extension: &str) -> Naming {
        Naming {
            topics_dir: topics_dir.into(),
            directory_delim: "/".into(),
            file_delim: "+".into(),
            offset_width: 10,
            extension: extension.into(),
        }
    }

    fn orders() -> TopicPartition {
        TopicPartition::new("orders", 3)
    }

    #[test]
    fn names_are_confluents() {
        let naming = naming("topics", ".snappy.parquet");
        let directory = naming.directory("orders", 3);
        assert_eq!(directory, "topics/orders/partition=3/");
        assert_eq!(
            naming.key(&directory, &orders(), 42),
            "topics/orders/partition=3/orders+3+0000000042.snappy.parquet"
        );
    }

    #[test]
    fn an_offset_longer_than_the_padding_is_whole() {
        let naming = Naming { offset_width: 2, ..naming("", ".json") };
        let directory = naming.directory("orders", 3);
        let key = naming.key(&directory, &orders(), i64::MAX);
        assert_eq!(key, "orders/partition=3/orders+3+9223372036854775807.json");
    }

    #[test]
    fn width_zero_pads_nothing() {
        let naming = Naming { offset_width: 0, ..naming("", ".json") };
        assert_eq!(naming.key("d/", &orders(), 7), "d/orders+3+7.json");
    }

    #[test]
    fn names_give_their_offset_back() {
        let naming = naming("topics", ".json");
        let start = |name| naming.start_of(name, &orders());
        assert_eq!(start("orders+3+0000000042.json"), Some(42));
        assert_eq!(start("orders+31+0000000042.json"), None);
        assert_eq!(start("orders+3+0000000042.parquet"), None);
        assert_eq!(start("orders+3++7.json"), None);
        assert_eq!(start("orders+3+.json"), None);
        assert_eq!(start("orders+3+99999999999999999999.json"), None);
    }
}
