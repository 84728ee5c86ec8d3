"""`python -m bench.authorize`: what one decision of the policy evaluator costs, in process.

The policies are those of a busy role: 10 attached policies of 20 statements each, a fifth of which speak of
the action that is asked for. Medians of many small rounds: the work of other processes shows in the tail.
"""

import itertools
import json
import platform
import statistics
import sys
import timeit
from collections.abc import Callable
from typing import Any, Final

from squib.iam.caller import Caller, CallerKind
from squib.iam.compiled import MAX_KEPT_PAIRS, PolicySet, compile_policy, policy_set
from squib.iam.context import Context, call_keys, caller_keys, keys, lambda_keys
from squib.iam.document import parse_document
from squib.iam.evaluate import CallerPolicies, Request, ResourcePolicies, evaluate
from squib.model.policy import PolicyDocument, PolicyType
from squib.model.units import AccountId, EpochMs

ROUNDS: Final = 201
CALLS_PER_ROUND: Final = 500
POLICIES: Final = 10
STATEMENTS: Final = 20
SERVICES: Final = ("lambda", "lambda", "sqs", "s3", "dynamodb", "logs", "kms", "sns", "events", "ec2")
ACCOUNT: Final = AccountId("111111111111")
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/worker"
FUNCTION: Final = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:resize"


def statement(policy: int, index: int) -> dict[str, Any]:
    """One of the statements, of which only the last of all allows the call."""
    service = SERVICES[index % len(SERVICES)]
    last = policy == POLICIES - 1 and index == STATEMENTS - 10
    made: dict[str, Any] = {
        "Sid": f"S{index}",
        "Effect": "Deny" if index % 10 == 1 else "Allow",
        "Action": [f"{service}:Invoke*", f"{service}:Get*"],
        "Resource": FUNCTION if last else f"arn:aws:{service}:*:{ACCOUNT}:function:p{policy}-{index}-*",
    }
    if index % 4 == 0 and not last:
        made["Condition"] = {"StringEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}}
    return made


def document(policy: int) -> PolicyDocument:
    """One attached policy."""
    statements = [statement(policy, index) for index in range(STATEMENTS)]
    return parse_document(json.dumps({"Version": "2012-10-17", "Statement": statements}))


def median_us(work: Callable[[], object], calls: int = CALLS_PER_ROUND) -> float:
    """What one call costs, in microseconds."""
    work()
    timer = timeit.Timer(work)
    rounds = [timer.timeit(calls) / calls for _ in range(ROUNDS)]
    return statistics.median(rounds) * 1e6


def measure() -> dict[str, float]:
    """Microseconds by what was measured."""
    documents = [document(policy) for policy in range(POLICIES)]
    caller = Caller(
        kind=CallerKind.ROLE_SESSION,
        account_id=ACCOUNT,
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/worker",
        issuer_arn=ROLE,
    )
    own_keys = caller_keys(
        principal_arn=ROLE,
        principal_account=ACCOUNT,
        principal_type="AssumedRole",
        user_id="AROAEXAMPLE:worker",
        token_issued_at_ms=EpochMs(1_700_000_000_000),
    )

    def compiled() -> PolicySet:
        return policy_set(PolicyType.IDENTITY, [(str(index), one) for index, one in enumerate(documents)])

    def context() -> Context:
        asked = call_keys(requested_region="us-east-1", source_ip="203.0.113.7", is_secure_transport=True)
        return Context(keys({**asked, **lambda_keys()}), own_keys, now_ms=EpochMs(1_700_000_000_000))

    def request(resource: str = FUNCTION) -> Request:
        return Request(
            caller=caller,
            action="lambda:InvokeFunction",
            resource=resource,
            account_id=ACCOUNT,
            context=context(),
        )

    policies = CallerPolicies(identity=compiled())
    bounded = CallerPolicies(identity=compiled(), boundary=compiled(), session=compiled())
    theirs = ResourcePolicies()
    asked, refused = request(), request(f"{FUNCTION}-not")
    assert evaluate(asked, policies, theirs).is_allowed
    assert not evaluate(refused, policies, theirs).is_allowed
    # More resources than a set remembers, so that each is new to it; and a set that is new itself.
    resources = itertools.cycle([request(f"{FUNCTION}-{index}") for index in range(2 * MAX_KEPT_PAIRS)])

    def unseen() -> None:
        evaluate(next(resources), policies, theirs)

    def all_new() -> None:
        evaluate(asked, CallerPolicies(identity=compiled()))

    shared = [compile_policy(PolicyType.IDENTITY, str(index), one) for index, one in enumerate(documents)]

    def one_new() -> None:
        changed = compile_policy(PolicyType.IDENTITY, "0", documents[0])
        evaluate(asked, CallerPolicies(identity=PolicySet(PolicyType.IDENTITY, [changed, *shared[1:]])))

    return {
        "decision: allowed by the last statement": median_us(lambda: evaluate(asked, policies, theirs)),
        "decision: allowed by none": median_us(lambda: evaluate(refused, policies, theirs)),
        "decision: with boundary and session policy as large": median_us(
            lambda: evaluate(asked, bounded, theirs)
        ),
        "context and request made, and decided": median_us(lambda: evaluate(request(), policies, theirs)),
        "decision: about a resource not asked about before": median_us(unseen),
        "decision: first after a policy changed, the others compiled": median_us(one_new, calls=1),
        "decision: first of all, every policy compiled anew": median_us(all_new, calls=1),
    }


def main() -> int:
    """Prints the table."""
    print(f"{POLICIES} policies of {STATEMENTS} statements; Python {platform.python_version()}")
    for name, cost_us in measure().items():
        print(f"{cost_us:9.1f} us  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
