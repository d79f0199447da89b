"""Monitors and saved queries: questions that are kept, and asked again on schedule.

In: definitions, and the answers of queries. Out: changes of state as events of the tenant's own lake, and notifications.
Guarantees: an evaluation depends on the definition, the state and the data of its window only; each is committed once, with what
is to be told of it; what is to be told is sent at least once or said to have failed.
Never: shows a secret, follows a redirect, or evaluates in two processes of a catalog at once.
"""
