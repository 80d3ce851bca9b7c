//! Kafka's names in Rust's spelling: `TimeoutMs` to `timeout_ms`, a keyword to a raw identifier.
//!
//! Called by the model for fields and by the emitters for modules.

/// Words that Rust keeps for itself and that schemas use, or may come to use.
const KEYWORDS: &[&str] = &["type", "match", "enum", "ref", "move", "loop", "use", "in", "where", "as", "fn"];

/// `ISRNodes` to `isr_nodes`, `KRaftVersion` to `kraft_version`.
pub fn snake(name: &str) -> String {
    let letters: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    let mut snake = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let after_lower = i > 0 && !letters[i - 1].is_uppercase();
        let before_lower = i > 0 && letters.get(i + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The identifier of a field.
pub fn field(name: &str) -> String {
    let snake = snake(name);
    if KEYWORDS.contains(&snake.as_str()) { format!("r#{snake}") } else { snake }
}

/// The first letter in upper case: record schemas name some fields `offset`, others `Offset`.
pub fn upper_first(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
