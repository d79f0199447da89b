//! The APIs, by key: names, latest versions, and from which version on they are "flexible" (compact, with tagged fields).

use crate::reader::Reader;

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const METADATA: i16 = 3;
pub const SASL_HANDSHAKE: i16 = 17;
pub const API_VERSIONS: i16 = 18;

const NEVER: i16 = i16::MAX;
/// Versions that are newer than this table, and believed.
const NEWER: i16 = 3;

/// (name, latest version, first flexible version), as of Kafka 4.1.
const APIS: &[(&str, i16, i16)] = &[
    ("Produce", 13, 9),
    ("Fetch", 18, 12),
    ("ListOffsets", 11, 6),
    ("Metadata", 13, 9),
    ("LeaderAndIsr", 7, 4),
    ("StopReplica", 4, 2),
    ("UpdateMetadata", 8, 6),
    ("ControlledShutdown", 3, 3),
    ("OffsetCommit", 10, 8),
    ("OffsetFetch", 10, 6),
    ("FindCoordinator", 6, 3),
    ("JoinGroup", 9, 6),
    ("Heartbeat", 4, 4),
    ("LeaveGroup", 5, 4),
    ("SyncGroup", 5, 4),
    ("DescribeGroups", 6, 5),
    ("ListGroups", 5, 3),
    ("SaslHandshake", 1, NEVER),
    ("ApiVersions", 4, 3),
    ("CreateTopics", 7, 5),
    ("DeleteTopics", 6, 4),
    ("DeleteRecords", 2, 2),
    ("InitProducerId", 6, 2),
    ("OffsetForLeaderEpoch", 4, 4),
    ("AddPartitionsToTxn", 5, 3),
    ("AddOffsetsToTxn", 4, 3),
    ("EndTxn", 5, 3),
    ("WriteTxnMarkers", 2, 1),
    ("TxnOffsetCommit", 5, 3),
    ("DescribeAcls", 3, 2),
    ("CreateAcls", 3, 2),
    ("DeleteAcls", 3, 2),
    ("DescribeConfigs", 4, 4),
    ("AlterConfigs", 2, 2),
    ("AlterReplicaLogDirs", 2, 2),
    ("DescribeLogDirs", 4, 2),
    ("SaslAuthenticate", 2, 2),
    ("CreatePartitions", 3, 2),
    ("CreateDelegationToken", 3, 2),
    ("RenewDelegationToken", 2, 2),
    ("ExpireDelegationToken", 2, 2),
    ("DescribeDelegationToken", 3, 2),
    ("DeleteGroups", 2, 2),
    ("ElectLeaders", 2, 2),
    ("IncrementalAlterConfigs", 1, 1),
    ("AlterPartitionReassignments", 1, 0),
    ("ListPartitionReassignments", 0, 0),
    ("OffsetDelete", 0, NEVER),
    ("DescribeClientQuotas", 1, 1),
    ("AlterClientQuotas", 1, 1),
    ("DescribeUserScramCredentials", 0, 0),
    ("AlterUserScramCredentials", 0, 0),
    ("Vote", 2, 0),
    ("BeginQuorumEpoch", 1, 1),
    ("EndQuorumEpoch", 1, 1),
    ("DescribeQuorum", 2, 0),
    ("AlterPartition", 3, 0),
    ("UpdateFeatures", 2, 0),
    ("Envelope", 0, 0),
    ("FetchSnapshot", 1, 0),
    ("DescribeCluster", 2, 0),
    ("DescribeProducers", 0, 0),
    ("BrokerRegistration", 4, 0),
    ("BrokerHeartbeat", 1, 0),
    ("UnregisterBroker", 0, 0),
    ("DescribeTransactions", 0, 0),
    ("ListTransactions", 2, 0),
    ("AllocateProducerIds", 0, 0),
    ("ConsumerGroupHeartbeat", 1, 0),
    ("ConsumerGroupDescribe", 1, 0),
    ("ControllerRegistration", 0, 0),
    ("GetTelemetrySubscriptions", 0, 0),
    ("PushTelemetry", 0, 0),
    ("AssignReplicasToDirs", 0, 0),
    ("ListConfigResources", 1, 0),
    ("DescribeTopicPartitions", 0, 0),
    ("ShareGroupHeartbeat", 1, 0),
    ("ShareGroupDescribe", 1, 0),
    ("ShareFetch", 1, 0),
    ("ShareAcknowledge", 1, 0),
    ("AddRaftVoter", 1, 0),
    ("RemoveRaftVoter", 0, 0),
    ("UpdateRaftVoter", 0, 0),
    ("InitializeShareGroupState", 0, 0),
    ("ReadShareGroupState", 0, 0),
    ("WriteShareGroupState", 0, 0),
    ("DeleteShareGroupState", 0, 0),
    ("ReadShareGroupStateSummary", 0, 0),
    ("StreamsGroupHeartbeat", 0, 0),
    ("StreamsGroupDescribe", 0, 0),
];

fn api(key: i16) -> Option<&'static (&'static str, i16, i16)> {
    usize::try_from(key).ok().and_then(|key| APIS.get(key))
}

pub fn api_name(key: i16) -> &'static str {
    api(key).map_or("OTHER", |(name, _, _)| name)
}

pub fn is_flexible(key: i16, version: i16) -> bool {
    api(key).is_some_and(|(_, _, flexible)| version >= *flexible)
}

pub struct Header<'a> {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    /// What comes after the correlation id.
    pub rest: Reader<'a>,
}

/// The header of a request, without its length; None when there is no such API and version.
pub fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let mut reader = Reader::new(bytes);
    let (key, version, correlation) = (reader.i16_be()?, reader.i16_be()?, reader.i32_be()?);
    let (_, latest, _) = api(key)?;
    ((0..=latest + NEWER).contains(&version) && correlation >= 0).then_some(Header { key, version, correlation, rest: reader })
}
