//! What one row of the table of configuration keys holds.
//!
//! Rows are constants, so that the whole table is data. Type codes are those of DescribeConfigs v3
//! (`ConfigEntry.ConfigType`).

/// Kafka's type of a value; the number is the one of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

impl ConfigType {
    /// The number on the wire.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// Kafka's name in upper case, as its messages print it.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }
}

/// Which values of the type are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// A fraction from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// A list without repetitions, each element one of these.
    ListOf(&'static [&'static str]),
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// `*`, nothing, or `partition:broker` pairs.
    ThrottledReplicas,
}

/// What this version does with a value other than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Honoured,
    /// The broker always behaves so; there is nothing to change. Refused with these words.
    Fixed(&'static str),
    /// Not acted on yet: refused with these words.
    Refused(&'static str),
    /// Not acted on yet, and that is safe, for this reason: accepted.
    Accepted(&'static str),
}

/// How a broker key's value becomes the topic key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Same,
    MinutesToMs,
    HoursToMs,
}

/// A broker key that gives a topic key its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub unit: Unit,
}

/// Where we differ from Kafka's default, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Kafka's default; `None` when Kafka does not know the key.
    pub kafka_default: Option<&'static str>,
    pub reason: &'static str,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigKey {
    pub name: &'static str,
    pub kind: ConfigType,
    /// `None` is Kafka's null: no value unless somebody sets one.
    pub default: Option<&'static str>,
    pub allowed: Allowed,
    pub status: Status,
    /// For a broker key: may AlterConfigs change it while the broker runs. Topic keys always may.
    pub dynamic: bool,
    /// For a topic key: the broker keys that give its default, strongest first.
    pub synonyms: &'static [Synonym],
    pub difference: Option<Difference>,
    pub doc: &'static str,
}

impl ConfigKey {
    /// A row that needs no more than this; the other parts are added by the functions below.
    pub const fn new(
        name: &'static str,
        kind: ConfigType,
        default: Option<&'static str>,
        allowed: Allowed,
        status: Status,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, default, allowed, status, dynamic: false, synonyms: &[], difference: None, doc }
    }

    pub const fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }

    pub const fn synonyms(mut self, synonyms: &'static [Synonym]) -> Self {
        self.synonyms = synonyms;
        self
    }

    pub const fn differs(mut self, kafka_default: Option<&'static str>, reason: &'static str) -> Self {
        self.difference = Some(Difference { kafka_default, reason });
        self
    }

    /// Whether values must never be shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, ConfigType::Password)
    }

    pub const fn is_list(&self) -> bool {
        matches!(self.kind, ConfigType::List)
    }
}
