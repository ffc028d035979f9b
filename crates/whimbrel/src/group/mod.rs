//! `whimbrel group`.

mod reset;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use whimbrel_client::Cluster;
use whimbrel_client::admin::{self, GroupDescription, MemberDescription};
use whimbrel_client::consumer::{OffsetQuery, list_offsets};

use crate::output::{Column, Output, or_dash};
use reset::ResetArgs;

/// A partition of a topic.
type Target = (Arc<str>, i32);

#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List the groups
    List,
    /// Show a group's offsets, lags and members
    Describe {
        #[arg(required = true)]
        groups: Vec<String>,
        /// Show the members, with what each reads
        #[arg(long, short)]
        members: bool,
        /// Show the state only
        #[arg(long, short, conflicts_with = "members")]
        state: bool,
    },
    /// Delete groups without members, with their offsets
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Move the committed offsets of a group without members
    ResetOffsets(ResetArgs),
}

pub async fn run(args: GroupArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match args.command {
        GroupCommand::List => list(cluster, output).await,
        GroupCommand::Describe { groups, members, state } => {
            let mut described = Vec::new();
            for group in &groups {
                described.push(describe(group, cluster).await?);
            }
            show(&described, members, state, output)
        }
        GroupCommand::Delete { groups } => delete(&groups, cluster, output).await,
        GroupCommand::ResetOffsets(args) => reset::run(&args, cluster, output).await,
    }
}

#[derive(Serialize)]
struct Listed {
    group: String,
    state: Option<String>,
    protocol_type: String,
    coordinator: i32,
}

async fn list(cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let groups = admin::list_groups(cluster).await?;
    let listed: Vec<Listed> = groups
        .into_iter()
        .map(|group| {
            let (coordinator, protocol_type) = (group.coordinator, group.protocol_type);
            Listed { group: group.group, state: group.state, protocol_type, coordinator }
        })
        .collect();
    let columns = [Column::Text("GROUP"), Column::Text("STATE"), Column::Text("TYPE"), Column::Number("COORDINATOR")];
    output.list(&listed, &columns, |group| {
        let kind = Some(&group.protocol_type).filter(|kind| !kind.is_empty());
        vec![group.group.clone(), or_dash(group.state.as_ref()), or_dash(kind), group.coordinator.to_string()]
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Described {
    group: String,
    state: String,
    protocol: String,
    members: Vec<MemberLine>,
    offsets: Vec<OffsetLine>,
}

#[derive(Serialize)]
struct MemberLine {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<String>,
}

#[derive(Serialize)]
struct OffsetLine {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
    host: Option<String>,
    client_id: Option<String>,
}

async fn describe(group: &str, cluster: &Cluster) -> anyhow::Result<Described> {
    let GroupDescription { state, protocol, members, .. } = admin::describe_groups(cluster, group).await?;
    let committed = admin::committed_offsets(cluster, group, None).await?;
    anyhow::ensure!(
        state != "Dead" || !committed.is_empty(),
        "group {group} does not exist; `whimbrel group list` shows those that do"
    );
    let mut owners: BTreeMap<Target, Option<&MemberDescription>> =
        committed.keys().map(|target| (target.clone(), None)).collect();
    for member in &members {
        owners.extend(member.assignment.iter().map(|target| (target.clone(), Some(member))));
    }
    let metadata = cluster.refresh(None, false).await?;
    let is_there = |target: &&Target| metadata.leader(&target.0, target.1).is_ok();
    let queries: Vec<_> = owners.keys().filter(is_there).map(|target| (target.clone(), OffsetQuery::Latest)).collect();
    let ends = list_offsets(cluster, &queries, false).await?;
    let line = |(target, owner): (&Target, &Option<&MemberDescription>)| {
        let committed = committed.get(target).map(|committed| committed.offset);
        let end = ends.get(target).map(|end| end.offset);
        OffsetLine {
            topic: target.0.to_string(),
            partition: target.1,
            committed,
            end,
            lag: committed.zip(end).map(|(committed, end)| end - committed),
            member_id: owner.map(|member| member.member_id.clone()),
            host: owner.map(|member| member.host.clone()),
            client_id: owner.map(|member| member.client_id.clone()),
        }
    };
    let offsets = owners.iter().map(line).collect();
    Ok(Described {
        group: group.to_owned(),
        state,
        protocol,
        members: members.iter().map(member_line).collect(),
        offsets,
    })
}

fn member_line(member: &MemberDescription) -> MemberLine {
    MemberLine {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.assignment.iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect(),
    }
}

fn show(described: &[Described], members: bool, state: bool, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        output.json(&described)?;
        return Ok(());
    }
    for group in described {
        let protocol = if group.protocol.is_empty() { String::new() } else { format!(", assignor {}", group.protocol) };
        println!("group {}: {}, {} members{protocol}", group.group, group.state, group.members.len());
        if state {
            continue;
        }
        if members {
            show_members(&group.members, output)?;
        } else {
            show_offsets(&group.offsets, output)?;
        }
        println!();
    }
    Ok(())
}

fn show_members(members: &[MemberLine], output: Output) -> std::io::Result<()> {
    let columns = [
        Column::Text("MEMBER"),
        Column::Text("INSTANCE"),
        Column::Text("CLIENT"),
        Column::Text("HOST"),
        Column::Text("PARTITIONS"),
    ];
    output.list(members, &columns, |member| {
        vec![
            member.member_id.clone(),
            or_dash(member.instance_id.as_ref()),
            member.client_id.clone(),
            member.host.clone(),
            member.partitions.join(" "),
        ]
    })
}

fn show_offsets(offsets: &[OffsetLine], output: Output) -> std::io::Result<()> {
    let columns = [
        Column::Text("TOPIC"),
        Column::Number("PARTITION"),
        Column::Number("COMMITTED"),
        Column::Number("END"),
        Column::Number("LAG"),
        Column::Text("MEMBER"),
        Column::Text("HOST"),
        Column::Text("CLIENT"),
    ];
    output.list(offsets, &columns, |line| {
        vec![
            line.topic.clone(),
            line.partition.to_string(),
            or_dash(line.committed),
            or_dash(line.end),
            or_dash(line.lag),
            or_dash(line.member_id.as_ref()),
            or_dash(line.host.as_ref()),
            or_dash(line.client_id.as_ref()),
        ]
    })
}

#[derive(Serialize)]
struct Deleted<'a> {
    group: &'a str,
    deleted: bool,
}

async fn delete(groups: &[String], cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    for group in groups {
        admin::delete_groups(cluster, group).await?;
        output.done(&format!("group {group} deleted"), &Deleted { group, deleted: true })?;
    }
    Ok(())
}
