//! DescribeConfigs, v1 to v4: every key of a topic or of this broker, with value, source and everything it overrides.
//!
//! v1 brought sources and synonyms, v3 types and documentation. An empty broker name asks for the dynamic defaults
//! of all brokers; another broker's name is refused, because only that broker knows its file. Values that must
//! not be seen are null. Kafka: `ConfigHelper`.

use logspine_cluster::metadata::configs::{
    BROKER_KEYS, ConfigKey, ConfigMap, ConfigSource, Resolved, SynonymValue, TOPIC_KEYS, broker_key,
    resolve_broker, resolve_topic,
};
use logspine_cluster::metadata::{ConfigResource, MetadataImage, ResourceType, validate_topic_name};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use logspine_protocol::types::BrokerId;
use logspine_protocol::wire::Str;

use super::{RequestContext, config_resource};
use crate::config::{BrokerConfig, Listener};

type Refusal = (ErrorCode, String);

pub async fn handle(
    context: &RequestContext,
    request: DescribeConfigsRequest<'_>,
) -> DescribeConfigsResponse<'static> {
    let image = context.broker.metadata.image();
    let describe = Describe {
        image: &image,
        broker: BrokerId(context.broker.node_id()),
        file: &in_force(&context.broker.config, context.broker.node_id()),
        with_synonyms: request.include_synonyms,
        with_documentation: request.include_documentation,
    };
    let results = request.resources.iter().map(|resource| describe.resource(resource));
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

/// The file as it counts: what the command line and the absence of a file decided stands in it, too.
fn in_force(config: &BrokerConfig, node_id: i32) -> ConfigMap {
    let mut file = config.properties.clone();
    let show = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let bound = |l: &Listener| format!("{}://{}:{}", l.name, show(&l.host), l.port);
    let told = |l: &Listener| format!("{}://{}:{}", l.name, show(&l.advertised_host), l.advertised_port);
    let join =
        |each: &dyn Fn(&Listener) -> String| config.listeners.iter().map(each).collect::<Vec<_>>().join(",");
    file.insert("listeners".to_owned(), join(&bound));
    file.insert("advertised.listeners".to_owned(), join(&told));
    file.insert("log.dirs".to_owned(), config.data_dir.display().to_string());
    file.insert("node.id".to_owned(), node_id.to_string());
    file.insert("broker.id".to_owned(), node_id.to_string());
    file
}

struct Describe<'a> {
    image: &'a MetadataImage,
    broker: BrokerId,
    file: &'a ConfigMap,
    with_synonyms: bool,
    with_documentation: bool,
}

impl Describe<'_> {
    fn resource(&self, asked: &DescribeConfigsResource<'_>) -> DescribeConfigsResult<'static> {
        let name = asked.resource_name.to_string();
        let entries =
            config_resource::parse(asked.resource_type, &name).and_then(|resource| self.entries(&resource));
        let (code, message, mut configs) = match entries {
            Ok(entries) => (ErrorCode::None, None, entries),
            Err((code, message)) => (code, Some(message.into()), Vec::new()),
        };
        if let Some(keys) = &asked.configuration_keys {
            configs.retain(|config| keys.contains(&config.name));
        }
        DescribeConfigsResult {
            error_code: code.code(),
            error_message: message,
            resource_type: asked.resource_type,
            resource_name: name.into(),
            configs,
        }
    }

    fn entries(
        &self,
        resource: &ConfigResource,
    ) -> Result<Vec<DescribeConfigsResourceResult<'static>>, Refusal> {
        match resource.kind {
            ResourceType::Topic => self.topic(&resource.name),
            ResourceType::Broker if resource.name.is_empty() => Ok(self.dynamic_defaults()),
            ResourceType::Broker => self.broker(&resource.name),
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult<'static>>, Refusal> {
        validate_topic_name(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
        if self.image.topic_by_name(name).is_none() {
            let message = "This server does not host this topic-partition.".to_owned();
            return Err((ErrorCode::UnknownTopicOrPartition, message));
        }
        let layers = self.image.topic_layers(name, self.broker, self.file);
        Ok(TOPIC_KEYS.iter().map(|key| self.entry(key, resolve_topic(key, &layers), false)).collect())
    }

    fn broker(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult<'static>>, Refusal> {
        let invalid = |message| Err((ErrorCode::InvalidRequest, message));
        match name.parse() {
            Ok(id) if BrokerId(id) == self.broker => {}
            Ok(id) => {
                let own = self.broker;
                return invalid(format!(
                    "Unexpected broker id, expected {own} or empty string, but received {id}"
                ));
            }
            Err(_) => return invalid(format!("Broker id must be an integer, but it is: {name}")),
        }
        let layers = self.image.broker_layers(self.broker, self.file);
        Ok(BROKER_KEYS
            .iter()
            .map(|key| self.entry(key, resolve_broker(key, &layers), !key.dynamic))
            .collect())
    }

    /// Only what somebody set for all brokers.
    fn dynamic_defaults(&self) -> Vec<DescribeConfigsResourceResult<'static>> {
        let set = self.image.configs(&ConfigResource::cluster()).iter();
        let known = set.filter_map(|(name, value)| Some((broker_key(name)?, value)));
        let entry = |(key, value): (&'static ConfigKey, &String)| {
            let source = ConfigSource::DynamicDefaultBrokerConfig;
            let synonyms = vec![SynonymValue { name: key.name, value: value.clone(), source }];
            self.entry(key, Resolved { value: Some(value.clone()), source, synonyms }, false)
        };
        known.map(entry).collect()
    }

    fn entry(
        &self,
        key: &ConfigKey,
        resolved: Resolved,
        read_only: bool,
    ) -> DescribeConfigsResourceResult<'static> {
        let is_sensitive = key.is_sensitive();
        let seen = |value: String| (!is_sensitive).then_some(value).map(Str::from);
        let synonym = |synonym: SynonymValue| DescribeConfigsSynonym {
            name: synonym.name.into(),
            value: seen(synonym.value),
            source: synonym.source.code(),
        };
        DescribeConfigsResourceResult {
            name: key.name.into(),
            value: resolved.value.and_then(seen),
            read_only,
            config_source: resolved.source.code(),
            is_sensitive,
            synonyms: match self.with_synonyms {
                true => resolved.synonyms.into_iter().map(synonym).collect(),
                false => Vec::new(),
            },
            config_type: key.kind.code(),
            documentation: self.with_documentation.then(|| key.doc.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use logspine_cluster::metadata::MetadataRecord;
    use logspine_protocol::types::TopicId;

    use super::*;

    fn describe(
        resource_type: i8,
        name: &'static str,
        keys: Option<&[&'static str]>,
    ) -> DescribeConfigsResult<'static> {
        let mut image = MetadataImage::default();
        let topic_id = TopicId([1; 16]);
        image.replay(&MetadataRecord::Topic { name: "orders".into(), topic_id });
        let config = |resource: ConfigResource, name: &str, value: &str| MetadataRecord::Config {
            resource,
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        image.replay(&config(ConfigResource::topic("orders"), "retention.ms", "5"));
        image.replay(&config(ConfigResource::cluster(), "log.retention.ms", "6"));
        let file = ConfigMap::from([("num.partitions".to_owned(), "4".to_owned())]);
        let describe = Describe {
            image: &image,
            broker: BrokerId(3),
            file: &file,
            with_synonyms: true,
            with_documentation: true,
        };
        describe.resource(&DescribeConfigsResource {
            resource_type,
            resource_name: name.into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        })
    }

    #[test]
    fn a_topic_lists_every_key_and_a_filter_narrows_it() {
        assert_eq!(describe(2, "orders", None).configs.len(), TOPIC_KEYS.len());
        let told = describe(2, "orders", Some(&["retention.ms", "no.such.key"])).configs;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].value.as_deref(), told[0].config_source, told[0].config_type), (Some("5"), 1, 5));
        assert!(told[0].documentation.is_some());
        let synonyms: Vec<_> =
            told[0].synonyms.iter().map(|s| (&*s.name, s.value.as_deref(), s.source)).collect();
        assert_eq!(
            synonyms,
            [
                ("retention.ms", Some("5"), 1),
                ("log.retention.ms", Some("6"), 3),
                ("log.retention.hours", Some("168"), 5),
            ]
        );
    }

    #[test]
    fn a_broker_lists_every_key_and_what_is_fixed_at_start_is_read_only() {
        let told = describe(4, "3", None).configs;
        assert_eq!(told.len(), BROKER_KEYS.len());
        let of = |name: &str| told.iter().find(|config| config.name == name).unwrap();
        assert_eq!(
            (of("num.partitions").value.as_deref(), of("num.partitions").config_source),
            (Some("4"), 4)
        );
        assert!(of("num.partitions").read_only && !of("log.retention.ms").read_only);
    }

    #[test]
    fn the_empty_broker_name_lists_what_was_set_for_all() {
        let told = describe(4, "", None).configs;
        assert_eq!(told.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["log.retention.ms"]);
    }

    #[test]
    fn what_cannot_be_described_is_refused_with_words() {
        let refusal = |resource_type, name| {
            let told = describe(resource_type, name, None);
            (ErrorCode::from_code(told.error_code).unwrap(), told.error_message.unwrap().into_owned())
        };
        assert_eq!(refusal(2, "nowhere").0, ErrorCode::UnknownTopicOrPartition);
        assert_eq!(refusal(2, "a b").0, ErrorCode::InvalidTopicException);
        assert_eq!(
            refusal(4, "9"),
            (
                ErrorCode::InvalidRequest,
                "Unexpected broker id, expected 3 or empty string, but received 9".into()
            )
        );
        assert!(refusal(8, "3").1.contains("--log-level"));
    }
}
