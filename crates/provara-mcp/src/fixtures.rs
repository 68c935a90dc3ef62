//! What the public conformance suite asks for by name: tools, resources and prompts that exercise
//! the protocol and touch no vault. Behind a feature that no release build has.

// Logging has another form in the newest revision of the protocol.
#![allow(deprecated)]

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptResult,
    JsonObject, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, Prompt,
    PromptArgument, PromptMessage, ReadResourceResult, Resource, ResourceContents,
    ResourceTemplate, Role, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::json;

/// A PNG of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// A WAV file without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

const NAMES: [&str; 8] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_error_handling",
];

pub(crate) fn tools() -> Vec<Tool> {
    let schema = || match json!({"type": "object", "properties": {}}) {
        serde_json::Value::Object(schema) => schema,
        _ => JsonObject::new(),
    };
    NAMES
        .iter()
        .map(|name| Tool::new(*name, "A fixture of the conformance suite", schema()))
        .collect()
}

fn embedded() -> ContentBlock {
    ContentBlock::resource(
        ResourceContents::text(
            "This is an embedded resource content.",
            "test://embedded-resource",
        )
        .with_mime_type("text/plain"),
    )
}

/// Answers the call of a fixture; `None` if the name is none.
pub(crate) async fn call(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Option<Result<CallToolResponse, ErrorData>> {
    let name = NAMES.iter().find(|name| **name == request.name)?;
    let text = |text: &str| ContentBlock::text(text);
    let image = || ContentBlock::image(PNG, "image/png");
    let content = match *name {
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_image_content" => vec![image()],
        "test_audio_content" => vec![ContentBlock::audio(WAV, "audio/wav")],
        "test_embedded_resource" => vec![embedded()],
        "test_multiple_content_types" => {
            vec![text("Multiple content types test:"), image(), embedded()]
        }
        "test_tool_with_logging" => {
            for message in [
                "Tool execution started",
                "Tool processing data",
                "Tool execution completed",
            ] {
                let notice =
                    LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(message));
                let _ = context.peer.notify_logging_message(notice).await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            vec![text("Logged.")]
        }
        "test_tool_with_progress" => {
            if let Some(token) = context.meta.get_progress_token() {
                for at in [0.0, 50.0, 100.0] {
                    let notice =
                        ProgressNotificationParam::new(token.clone(), at).with_total(100.0);
                    let _ = context.peer.notify_progress(notice).await;
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
            vec![text("Done.")]
        }
        _ => {
            let words = vec![text("This tool intentionally returns an error for testing")];
            return Some(Ok(CallToolResponse::Complete(CallToolResult::error(words))));
        }
    };
    Some(Ok(CallToolResponse::Complete(CallToolResult::success(
        content,
    ))))
}

pub(crate) fn resources() -> Vec<Resource> {
    [
        ("test://static-text", "static-text", "text/plain"),
        ("test://static-binary", "static-binary", "image/png"),
        ("test://watched-resource", "watched-resource", "text/plain"),
    ]
    .map(|(uri, name, kind)| Resource::new(uri, name).with_mime_type(kind))
    .into()
}

pub(crate) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("test://template/{id}/data", "template")
            .with_mime_type("application/json"),
    ]
}

pub(crate) fn read(uri: &str) -> Option<ReadResourceResult> {
    let contents = match uri {
        "test://static-text" => {
            ResourceContents::text("This is the content of the static text resource.", uri)
        }
        "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        "test://watched-resource" => ResourceContents::text("Watched.", uri),
        _ => {
            let id = uri
                .strip_prefix("test://template/")?
                .strip_suffix("/data")?;
            let text =
                json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            ResourceContents::text(text.to_string(), uri).with_mime_type("application/json")
        }
    };
    Some(ReadResourceResult::new(vec![contents]))
}

pub(crate) fn prompts() -> Vec<Prompt> {
    let about = Some("A fixture of the conformance suite");
    let argument = |name: &str| PromptArgument::new(name).with_required(true);
    vec![
        Prompt::new("test_simple_prompt", about, None),
        Prompt::new(
            "test_prompt_with_arguments",
            about,
            Some(vec![argument("arg1"), argument("arg2")]),
        ),
        Prompt::new(
            "test_prompt_with_embedded_resource",
            about,
            Some(vec![argument("resourceUri")]),
        ),
        Prompt::new("test_prompt_with_image", about, None),
    ]
}

pub(crate) fn prompt(name: &str, arguments: &JsonObject) -> Option<GetPromptResult> {
    let given = |name: &str| {
        arguments
            .get(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
    };
    let text = |text: String| PromptMessage::new_text(Role::User, text);
    let messages = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.".to_owned())],
        "test_prompt_with_arguments" => {
            let (one, two) = (given("arg1"), given("arg2"));
            vec![text(format!(
                "Prompt with arguments: arg1='{one}', arg2='{two}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => {
            let contents = ResourceContents::text(
                "Embedded resource content for testing.",
                given("resourceUri"),
            );
            vec![
                PromptMessage::new(Role::User, ContentBlock::resource(contents)),
                text("Please process the embedded resource above.".to_owned()),
            ]
        }
        "test_prompt_with_image" => vec![
            PromptMessage::new(Role::User, ContentBlock::image(PNG, "image/png")),
            text("Please analyze the image above.".to_owned()),
        ],
        _ => return None,
    };
    Some(GetPromptResult::new(messages))
}
