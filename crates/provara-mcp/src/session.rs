//! One client: the methods of the protocol, each handed to where its subject is.

// Subscriptions and logging have other forms in the newest revision of the protocol; clients of the
// revisions before it need these.
#![allow(deprecated)]

use std::sync::Arc;
use std::time::Instant;

use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    ContentBlock, CustomRequest, CustomResult, ErrorCode, ErrorData, GetPromptRequestParams,
    GetPromptResponse, Implementation, InitializeRequestParams, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::clients::{Client, Level, PROGRESS_LIMIT};
use crate::cursor::position_of;
use crate::job::{self, Stop};
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::tools::{Call, Registry};
use crate::{complete, exact, prompts, resources};

/// The most subscriptions of one client.
const MAX_SUBSCRIPTIONS: usize = 256;

/// The entries of one page of a list.
const PAGE: usize = 100;

/// The protocol's side of one client.
pub(crate) struct Session {
    server: Arc<ServerState>,
    registry: Arc<Registry>,
    client: Arc<Client>,
}

impl Session {
    pub(crate) fn new(server: &Arc<ServerState>, registry: &Arc<Registry>) -> Self {
        Self {
            server: Arc::clone(server),
            registry: Arc::clone(registry),
            client: Arc::default(),
        }
    }

    /// Runs a tool.
    async fn call(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        // A plugin's tool is known only once the plugins are.
        let mut toolbox = self.registry.toolbox();
        if toolbox.get(&request.name).is_none() && self.server.installed_now().is_none() {
            self.server.installed().await;
            toolbox = self.registry.toolbox();
        }
        let Some(tool) = toolbox.get(&request.name) else {
            let name = provara_plugins::text::inline(&request.name).into_owned();
            return Err(ErrorData::invalid_params(
                format!("Unknown tool: {name}"),
                None,
            ));
        };
        let needs = tool.needs();
        let installed = match needs.plugins {
            true => self.server.installed().await,
            false => self.server.installed_now().unwrap_or_default(),
        };
        let stages = f64::from(needs.stages);
        let mut call = Call {
            server: Arc::clone(&self.server),
            registry: Arc::clone(&self.registry),
            tool,
            arguments: request.arguments.unwrap_or_default(),
            exact: exact::attached(&context.extensions),
            installed,
        };
        let cancelled = context.ct.child_token();
        let end = self.server.stopping.clone();
        let both = cancelled.clone();
        let watch = tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => both.cancel(),
                () = both.cancelled() => {}
            }
        });
        let name = call.tool.described.name.clone();
        let began = Instant::now();
        let taken = call.take_texts();
        let part = call.part();
        let outcome = match taken {
            Ok(()) => self.run(call, &context, &cancelled, stages).await,
            Err(refusal) => Err(refusal.into()),
        };
        watch.abort();
        tracing::debug!(
            "{name} was {} in {} ms",
            if outcome.is_ok() { "done" } else { "refused" },
            began.elapsed().as_millis()
        );
        match outcome.and_then(|answer| Ok(answer.finish(part.as_deref())?)) {
            Ok((text, tree)) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = Some(tree);
                Ok(result)
            }
            Err(stop) => {
                let refusal = Refusal::from(stop);
                self.client.log(Level::Notice, &refusal.0);
                Ok(CallToolResult::error(vec![ContentBlock::text(
                    refusal.text(),
                )]))
            }
        }
    }

    async fn run(
        &self,
        call: Call,
        context: &RequestContext<RoleServer>,
        cancelled: &tokio_util::sync::CancellationToken,
        stages: f64,
    ) -> Result<Answer, Stop> {
        // Appends to a vault take turns here, not on the vault's lock.
        let turn = match call.needs().turn {
            true => {
                let vault = call.vault()?;
                let turn = Arc::clone(&vault.writing).lock_owned();
                Some(tokio::select! {
                    turn = turn => turn,
                    () = cancelled.cancelled() => return Err(Stop::Cancelled),
                })
            }
            false => None,
        };
        let token = context.meta.get_progress_token();
        let peer = &context.peer;
        let progress = |at: f64, text: &'static str| {
            let token = token.clone();
            async move {
                let Some(token) = token else { return };
                let notice = ProgressNotificationParam::new(token, at)
                    .with_total(stages)
                    .with_message(text);
                let sent = peer.notify_progress(notice);
                let _ = tokio::time::timeout(PROGRESS_LIMIT, sent).await;
            }
        };
        let jobs = match call.waits() {
            true => &self.server.waiting,
            false => &self.server.computing,
        };
        job::run(jobs, cancelled, progress, move |job| {
            // Held until the work ends, also when nobody waits for it any more.
            let _turn = turn;
            call.run(job)
        })
        .await
    }
}

/// Why a request is none of a method that is served here; nothing where the method is not.
fn misfit(request: &CustomRequest) -> Option<String> {
    fn why<T: DeserializeOwned>(parameters: &Option<serde_json::Value>) -> String {
        let Some(given) = parameters else {
            return "they are missing".to_owned();
        };
        let found = serde_json::from_value::<T>(given.clone());
        found.map_or_else(
            |error| error.to_string(),
            |_| "they are not understood".to_owned(),
        )
    }
    let given = &request.params;
    Some(match request.method.as_str() {
        "initialize" => why::<InitializeRequestParams>(given),
        "completion/complete" => why::<CompleteRequestParams>(given),
        "logging/setLevel" => why::<SetLevelRequestParams>(given),
        "prompts/get" => why::<GetPromptRequestParams>(given),
        "resources/read" => why::<ReadResourceRequestParams>(given),
        "resources/subscribe" => why::<SubscribeRequestParams>(given),
        "resources/unsubscribe" => why::<UnsubscribeRequestParams>(given),
        "tools/call" => why::<CallToolRequestParams>(given),
        "ping"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "server/discover"
        | "subscriptions/listen"
        | "tools/list" => "they are not understood".to_owned(),
        _ => return None,
    })
}

/// A page of a list, and the cursor of the next.
fn paged<T: Clone>(
    all: &[T],
    request: Option<&PaginatedRequestParams>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let from = match request.and_then(|request| request.cursor.as_deref()) {
        None => 0,
        Some(cursor) => position_of(cursor)
            .filter(|at| *at <= all.len())
            .ok_or_else(|| ErrorData::invalid_params("Invalid cursor", None))?,
    };
    let page: Vec<T> = all.iter().skip(from).take(size).cloned().collect();
    let next = from + page.len();
    Ok((page, (next < all.len()).then(|| next.to_string())))
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        let mut info = ServerConfig::default();
        info.capabilities = capabilities;
        info.server_info = Implementation::new("provara", env!("CARGO_PKG_VERSION"))
            .with_title("Provara")
            .with_description("Signed, append-only logs that anyone can verify.");
        info.instructions = Some(prompts::instructions(&self.server));
        info
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // A second notice of the same session changes nothing: who were welcomed twice would hear of
        // everything twice.
        if self.client.connect(context.peer) {
            self.server.clients.welcome(&self.client);
        }
        self.server.begin_discovery();
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.client.set_level(request.level);
        Ok(())
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.server.installed().await;
        let toolbox = self.registry.toolbox();
        let all: Vec<_> = toolbox
            .listed()
            .map(|tool| tool.described.clone())
            .collect();
        #[cfg(feature = "conformance-fixtures")]
        let all = [all, crate::fixtures::tools()].concat();
        // Several clients read one page and no more, so that there is only one, which has its limit.
        let (page, next) = paged(&all, request.as_ref(), usize::MAX)?;
        let mut result = ListToolsResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        #[cfg(feature = "conformance-fixtures")]
        if let Some(response) = crate::fixtures::call(&request, &context).await {
            return response;
        }
        self.call(request, context)
            .await
            .map(CallToolResponse::Complete)
    }

    /// What fits no request of the protocol: one that is not known, or that has other parameters.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = provara_plugins::text::inline(&request.method);
        let method = provara_plugins::text::shorten(&method, 100);
        // The name of a method that is not known, and a reason, quote what was sent: they are for the client alone.
        let (logged, error) = match misfit(&request) {
            Some(reason) => {
                let logged = format!("The parameters of {method} do not fit");
                let text = format!("{logged}: {reason}");
                (logged, ErrorData::invalid_params(text, None))
            }
            None => {
                let text = format!("Unknown method: {method}");
                let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, text, None);
                ("Unknown method".to_owned(), error)
            }
        };
        tracing::warn!("refused a request: {logged}");
        Err(error)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (page, next) = paged(&resources::list(&self.server), request.as_ref(), PAGE)?;
        let mut result = ListResourcesResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let (page, next) = paged(&resources::templates(), request.as_ref(), PAGE)?;
        let mut result = ListResourceTemplatesResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        #[cfg(feature = "conformance-fixtures")]
        if let Some(result) = crate::fixtures::read(&request.uri) {
            return Ok(ReadResourceResponse::Complete(result));
        }
        let server = Arc::clone(&self.server);
        let uri = request.uri;
        let read = move |job: &job::JobHandle| Ok(resources::read(&server, &uri, job));
        let outcome = job::run(&self.server.computing, &context.ct, |_, _| async {}, read).await;
        let result =
            outcome.map_err(|stop| ErrorData::internal_error(Refusal::from(stop).text(), None))?;
        result.map(ReadResourceResponse::Complete)
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let vault = resources::known(&self.server, &request.uri)?;
        let mut subscriptions = self.client.subscriptions();
        if subscriptions.len() >= MAX_SUBSCRIPTIONS && !subscriptions.contains(&request.uri) {
            let text = format!("At most {MAX_SUBSCRIPTIONS} subscriptions");
            return Err(ErrorData::invalid_request(text, None));
        }
        subscriptions.insert(request.uri);
        drop(subscriptions);
        self.server.watch(vault.as_deref());
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.client.subscriptions().remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let mut accepted = requested.clone();
        accepted.prompts_list_changed = None;
        if let Some(uris) = &mut accepted.resource_subscriptions {
            uris.truncate(MAX_SUBSCRIPTIONS);
            uris.retain(|uri| {
                let known = resources::known(&self.server, uri);
                known
                    .map(|vault| self.server.watch(vault.as_deref()))
                    .is_ok()
            });
        }
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        if !self.server.clients.add_listener(context.sink().clone()) {
            let text = "Too many subscriptions are open";
            return Err(ErrorData::invalid_request(text, None));
        }
        let stopping = self.server.stopping.clone();
        tokio::select! {
            () = context.cancelled() => {}
            () = stopping.cancelled() => {}
        }
        self.server.clients.remove_listener(context.sink());
        Ok(())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let all = prompts::list(&self.server);
        #[cfg(feature = "conformance-fixtures")]
        let all = [all, crate::fixtures::prompts()].concat();
        let (page, next) = paged(&all, request.as_ref(), PAGE)?;
        let mut result = ListPromptsResult::with_all_items(page);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        #[cfg(feature = "conformance-fixtures")]
        if let Some(result) = crate::fixtures::prompt(&request.name, &arguments) {
            return Ok(GetPromptResponse::Complete(result));
        }
        prompts::get(&self.server, &request.name, &arguments).map(GetPromptResponse::Complete)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let server = Arc::clone(&self.server);
        let find = move |job: &job::JobHandle| Ok(complete::complete(&server, &request, job));
        let outcome = job::run(&self.server.computing, &context.ct, |_, _| async {}, find).await;
        outcome.map_err(|stop| ErrorData::internal_error(Refusal::from(stop).text(), None))
    }
}
