//! What the generator promises about schemas it reads and files it writes. That the code it prints speaks Kafka's
//! protocol is shown elsewhere, by Kafka's own classes.

use super::defaults::Default;
use super::model::{Kind, Model};
use super::output::{self, Output};
use super::schema::Schema;
use super::versions::{Presence, Versions};
use super::{emit_struct, names};

/// A schema with the given fields, versions 0 to 5, flexible from 3.
fn schema(fields: &str) -> anyhow::Result<Schema> {
    Schema::parse(&format!(
        r#"{{ "apiKey": 7, "type": "request", "name": "XRequest", "validVersions": "0-5", "flexibleVersions": "3+",
              "fields": [{fields}] }}"#
    ))
}

fn model(fields: &str) -> Model {
    Model::new(&schema(fields).unwrap()).unwrap()
}

/// The reason, outermost first.
fn refusal(fields: &str) -> String {
    match schema(fields).and_then(|schema| Model::new(&schema)) {
        Ok(_) => panic!("the schema is accepted: {fields}"),
        Err(error) => format!("{error:#}"),
    }
}

/// The code without layout, for comparisons that rustfmt cannot upset.
fn code(fields: &str) -> String {
    emit_struct::record_file(&model(fields)).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn comments_are_no_part_of_a_schema_but_slashes_in_strings_are() {
    let model = model(
        r#"// a comment
        { "name": "A", "type": "string", "versions": "0+", "about": "see http://x" } // another
        "#,
    );
    assert_eq!(model.structs[0].fields[0].about, "see http://x");
}

#[test]
fn every_error_code_is_found_however_deep_it_lies() {
    let code = code(
        r#"{ "name": "ErrorCode", "type": "int16", "versions": "0+" },
           { "name": "Plain", "type": "[]P", "versions": "0+", "fields": [
               { "name": "Id", "type": "int16", "versions": "0+" }] },
           { "name": "Topics", "type": "[]T", "versions": "0+", "nullableVersions": "0+", "fields": [
               { "name": "Parts", "type": "[]Q", "versions": "0+", "fields": [
                   { "name": "PartitionErrorCode", "type": "int16", "versions": "0+" }] }] }"#,
    );
    let methods = code.split("fn for_each_error(&self, found: &mut dyn FnMut(i16)) ").skip(1);
    let bodies: Vec<&str> = methods.map(|rest| rest.split(" fn ").next().unwrap_or_default()).collect();
    assert_eq!(bodies.len(), 3, "the message, T and Q; not P: {code}");
    assert!(
        bodies[0].contains("found(self.error_code);") && bodies[0].contains("self.topics.iter().flatten()")
    );
    assert!(code.contains("found(self.partition_error_code);"));
}

#[test]
fn a_property_that_the_generator_does_not_know_is_refused() {
    let error = refusal(r#"{ "name": "A", "type": "bool", "versions": "0+", "novel": true }"#);
    assert!(error.contains("novel"), "{error}");
}

#[test]
fn ranges_become_the_shortest_condition_that_says_the_same() {
    let context = Versions { low: 2, high: 9 };
    let when = |range: &str| match Versions::parse(range).unwrap().within(context) {
        Presence::When { when, .. } => when,
        other => format!("{other:?}"),
    };
    assert_eq!(when("0+"), "Always");
    assert_eq!(when("2-9"), "Always");
    assert_eq!(when("0-1"), "Never");
    assert_eq!(when("none"), "Never");
    assert_eq!(when("4+"), "version >= 4");
    assert_eq!(when("0-7"), "version <= 7");
    assert_eq!(when("5"), "version == 5");
    assert_eq!(when("4-6"), "(4..=6).contains(&version)");
    assert!(Versions::parse("1-x").is_err());
}

#[test]
fn names_are_spelled_as_rust_spells_them() {
    for (kafka, rust) in [
        ("TimeoutMs", "timeout_ms"),
        ("ISRNodes", "isr_nodes"),
        ("currentStateTimestamp", "current_state_timestamp"),
        ("KRaftVersionFeature", "kraft_version_feature"),
        ("LastKnownElr", "last_known_elr"),
    ] {
        assert_eq!(names::field(kafka), rust);
    }
    assert_eq!(names::field("Type"), "r#type");
}

#[test]
fn only_the_string_null_means_null() {
    let default = |json: &str| {
        let field = format!(
            r#"{{ "name": "A", "type": "string", "versions": "0+", "nullableVersions": "0+" {json} }}"#
        );
        model(&field).structs[0].fields[0].default.clone()
    };
    assert_eq!(default(r#", "default": "null""#), Default::Null);
    assert_eq!(default(r#", "default": null"#), Default::Zero);
    assert_eq!(default(""), Default::Zero);
    let error = refusal(r#"{ "name": "A", "type": "string", "versions": "0+", "default": "null" }"#);
    assert!(error.contains("in the field A"), "{error}");
}

#[test]
fn numbers_are_decimal_or_hexadecimal_quoted_or_bare() {
    for (json, rust) in [(r#""-1""#, "-1"), ("-1", "-1"), (r#""0x7fffffff""#, "2147483647")] {
        let field = format!(r#"{{ "name": "A", "type": "int32", "versions": "0+", "default": {json} }}"#);
        assert_eq!(model(&field).structs[0].fields[0].default_expression(), rust);
    }
}

#[test]
fn a_struct_that_contains_itself_is_refused() {
    let error = refusal(
        r#"{ "name": "A", "type": "S", "versions": "0+", "fields": [
             { "name": "B", "type": "[]S", "versions": "0+", "fields": [
               { "name": "C", "type": "int8", "versions": "0+" } ] } ] }"#,
    );
    assert!(error.contains("S contains itself"), "{error}");
}

#[test]
fn a_tag_in_a_version_that_is_not_flexible_is_refused() {
    let error =
        refusal(r#"{ "name": "A", "type": "int8", "versions": "2+", "taggedVersions": "2+", "tag": 0 }"#);
    assert!(error.contains("not flexible"), "{error}");
}

#[test]
fn a_field_without_a_version_is_dropped() {
    assert!(model(r#"{ "name": "A", "type": "int8", "versions": "6+" }"#).structs[0].fields.is_empty());
}

#[test]
fn a_value_that_the_version_cannot_carry_is_refused_unless_ignorable() {
    let strict = r#"{ "name": "A", "type": "int32", "versions": "2+", "default": "-1" }"#;
    let refuse = r#"if version >= 2 { w.i32(self.a); } else if self.a != -1 { return Err(EncodeError::unsupported("XRequest", "A", version)); }"#;
    assert!(code(strict).contains(refuse), "{}", code(strict));
    let ignorable = strict.replace("\"default\"", "\"ignorable\": true, \"default\"");
    assert!(code(&ignorable).contains("if version >= 2 { w.i32(self.a); } "), "{}", code(&ignorable));
    assert!(!code(&ignorable).contains("unsupported"));
}

#[test]
fn a_field_may_keep_its_classic_length_in_a_flexible_version() {
    let field = r#"{ "name": "A", "type": "string", "versions": "0+", "flexibleVersions": "none" }"#;
    assert!(code(field).contains("a: r.str(false)?"), "{}", code(field));
}

#[test]
fn tagged_fields_are_written_by_ascending_tag() {
    let code = code(
        r#"{ "name": "A", "type": "int8", "versions": "3+", "taggedVersions": "3+", "tag": 1 },
           { "name": "B", "type": "int8", "versions": "3+", "taggedVersions": "3+", "tag": 0 }"#,
    );
    let (zero, one) = (code.find("w.tagged(0").unwrap(), code.find("w.tagged(1").unwrap());
    assert!(zero < one);
    assert!(code.contains("w.tag_count(&[b, a]);"), "{code}");
}

#[test]
fn a_response_struct_of_the_same_name_is_shared_or_renamed() {
    let same = r#"{ "name": "A", "type": "[]S", "versions": "0+", "fields": [
                    { "name": "B", "type": "int8", "versions": "0+", "about": "one" } ] }"#;
    let other = same.replace("int8", "int16");
    let mut response = model(&same.replace("one", "two"));
    response.avoid_names_of(&model(same));
    assert!(response.find("S").unwrap().shared, "same shape, other words");
    let mut response = model(&other);
    response.avoid_names_of(&model(same));
    assert!(response.find("SResponse").is_some());
    assert_eq!(response.structs[0].fields[0].kind, Kind::Struct("SResponse".to_owned()));
}

#[test]
fn the_least_size_of_an_element_is_taken_over_all_versions() {
    let model = model(
        r#"{ "name": "A", "type": "[]S", "versions": "0+", "fields": [
             { "name": "B", "type": "int64", "versions": "0-1" }, { "name": "C", "type": "int32", "versions": "2+" },
             { "name": "D", "type": "string", "versions": "0+" } ] }"#,
    );
    assert_eq!(model.least_bytes("S"), 5);
}

#[test]
fn drift_is_named_with_the_command_that_mends_it() {
    let root = tempfile::tempdir().unwrap();
    let folders = [format!("{}/messages", super::SOURCE)];
    let outputs =
        [Output::new("messages/a.rs", "new".to_owned()), Output::new("messages/b.rs", "b".to_owned())];
    assert_eq!(output::write(root.path(), &outputs, &folders).unwrap(), 2);
    assert_eq!(output::write(root.path(), &outputs, &folders).unwrap(), 0, "nothing changed");
    output::check(root.path(), &outputs, &folders).unwrap();

    let path = |name: &str| root.path().join(&folders[0]).join(name);
    std::fs::write(path("a.rs"), "edited by hand").unwrap();
    std::fs::remove_file(path("b.rs")).unwrap();
    std::fs::write(path("left_over.rs"), "").unwrap();
    let error = output::check(root.path(), &outputs, &folders).unwrap_err().to_string();
    for words in [
        "messages/a.rs differs from its schema",
        "messages/b.rs is missing",
        "messages/left_over.rs is not generated any more",
        "`cargo xtask generate` mends it",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(output::write(root.path(), &outputs, &folders).unwrap(), 3);
    assert!(!path("left_over.rs").exists());
}

/// The committed code is what the committed schemas say, byte for byte and every time.
#[test]
fn the_repository_is_current() {
    let root = output::repository_root();
    let outputs = super::generate(&root).unwrap();
    output::check(&root, &outputs, &super::folders()).unwrap();
}
