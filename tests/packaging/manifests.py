"""Checks kompose/ against the schemas of current Kubernetes releases, and for what a schema cannot see.

A schema finds a misspelled field. It does not find a selector that matches no pod, a Service that names a port the
container does not have, or a grace period shorter than the node's own shutdown; those are looked at one by one here.
To be sure that the checks can fail, each manifest check is also given broken copies, which it has to refuse.

Run by manifests.sh. Needs the packages of requirements.txt.
"""

import copy
import re
import sys
from pathlib import Path

import kubernetes_validate
import yaml

RELEASES = ["1.35", "1.36", "1.37"]
ROOT = Path(__file__).resolve().parents[2]
KOMPOSE = ROOT / "kompose"


class Wrong(Exception):
    """A manifest is not as it should be."""


class UniqueLoader(yaml.SafeLoader):
    """YAML in which a mapping names a key once."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        if len(names) != len(set(names)):
            raise Wrong(f"{node.start_mark}: a key is given twice")
        return super().construct_mapping(node, deep)


def need(condition, message):
    if not condition:
        raise Wrong(message)


def read(path):
    """The documents of a file."""
    return [document for document in yaml.load_all(path.read_text(), UniqueLoader) if document is not None]


def check_schema(document):
    """Against the strict schema, which knows all fields, of every release."""
    for release in RELEASES:
        try:
            kubernetes_validate.validate(document, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Wrong(f"Kubernetes {release}: {document.get('kind')}: {error.message}") from error
        except kubernetes_validate.SchemaNotFoundError as error:
            raise Wrong(f"Kubernetes {release} has no {document['apiVersion']} {document['kind']}") from error


def seconds(text):
    """A duration as the settings write it, in whole seconds."""
    matched = re.fullmatch(r"(\d+)s", text)
    need(matched, f"{text} is not a number of seconds")
    return int(matched[1])


def mebibytes(text):
    """A quantity of Kubernetes or a size of the settings."""
    matched = re.fullmatch(r"(\d+)(Mi|Gi)B?", text)
    need(matched, f"{text} is not in Mi or Gi")
    return int(matched[1]) * {"Mi": 1, "Gi": 1024}[matched[2]]


def check_together(documents):
    """What holds between the manifests."""
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    for wanted in [
        ("StatefulSet", "smache"),
        ("Service", "smache"),
        ("Service", "smache-headless"),
        ("PodDisruptionBudget", "smache"),
        ("NetworkPolicy", "smache"),
        ("Secret", "smache"),
    ]:
        need(wanted in found, f"{wanted[0]} {wanted[1]} is missing")

    spec = found["StatefulSet", "smache"]["spec"]
    headless = found["Service", "smache-headless"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {variable["name"]: variable for variable in container["env"]}

    def value(name):
        need(name in variables, f"{name} is not set")
        return variables[name].get("value", "")

    selectors = {
        "StatefulSet": spec["selector"]["matchLabels"],
        "Service smache": found["Service", "smache"]["spec"]["selector"],
        "Service smache-headless": headless["selector"],
        "PodDisruptionBudget": found["PodDisruptionBudget", "smache"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": found["NetworkPolicy", "smache"]["spec"]["podSelector"]["matchLabels"],
    }
    for constraint in pod["topologySpreadConstraints"]:
        selectors[constraint["topologyKey"]] = constraint["labelSelector"]["matchLabels"]
    for owner, selector in selectors.items():
        need(selector and selector.items() <= labels, f"{owner} selects other pods than these")

    for name in ["smache", "smache-headless"]:
        for port in found["Service", name]["spec"]["ports"]:
            need(port["targetPort"] in ports, f"Service {name}: no container port is named {port['targetPort']}")
            need(port["port"] == ports[port["targetPort"]], f"Service {name}: {port['name']} has another number here")
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        need(container[probe]["httpGet"]["port"] in ports, f"{probe}: no such port")
    need(container["livenessProbe"]["httpGet"]["path"] == "/healthcheck", "the liveness probe must not ask for more")
    need(container["readinessProbe"]["httpGet"]["path"] == "/ready", "the readiness probe asks something else")

    need(spec["serviceName"] == "smache-headless", "pods have names only under the StatefulSet's Service")
    need(headless["clusterIP"] == "None", "smache-headless is not headless")
    need(headless.get("publishNotReadyAddresses") is True, "pods that are not ready yet could not find one another")
    host, _, port = value("UPLINK_NODE").partition(":")
    need(host == "smache-headless" and int(port) == ports["cluster"], "UPLINK_NODE is not the nodes' Service")
    need(
        value("NODE_NAME") == "smache@$(POD_NAME).smache-headless.$(POD_NAMESPACE).svc",
        "NODE_NAME is not the pod's own name",
    )
    # Kubernetes fills in $(NAME) only from what stands above.
    order = list(variables)
    for name, variable in variables.items():
        for used in re.findall(r"\$\(([A-Z_]+)\)", variable.get("value", "")):
            need(used in variables and order.index(used) < order.index(name), f"{name}: $({used}) comes later or never")
    reference = variables["COOKIE"]["valueFrom"]["secretKeyRef"]
    need(reference["key"] in found["Secret", reference["name"]]["stringData"], "COOKIE is not in the Secret")
    need(found["Secret", "smache"]["stringData"]["cookie"] == "REPLACE-ME", "a real cookie does not belong here")

    need(pod.get("enableServiceLinks") is False, "SMACHE_PORT=tcp://... would be set beside a Service named smache")
    delay, limit = seconds(value("SMACHE_DRAIN_DELAY")), seconds(value("SMACHE_SHUTDOWN_TIMEOUT"))
    need(delay < limit < pod["terminationGracePeriodSeconds"], "the pod is killed before the node has ended")
    readiness = container["readinessProbe"]
    need(
        delay > readiness["periodSeconds"] * readiness["failureThreshold"],
        "the node stops serving before its readiness probe has failed",
    )
    memory = mebibytes(container["resources"]["limits"]["memory"])
    need(mebibytes(value("SMACHE_MAX_MEMORY")) <= 0.8 * memory, "the node's limit is too close to the container's")
    need(mebibytes(container["resources"]["requests"]["memory"]) == memory, "a cache uses all the memory it may")

    everyone, rights = pod["securityContext"], container["securityContext"]
    need(everyone.get("runAsNonRoot") is True and everyone.get("runAsUser", 0) > 0, "it may run as root")
    need(everyone.get("seccompProfile") == {"type": "RuntimeDefault"}, "no seccomp profile")
    need(rights.get("allowPrivilegeEscalation") is False, "it may gain privileges")
    need(rights.get("readOnlyRootFilesystem") is True, "its file system can be written")
    need(rights.get("capabilities") == {"drop": ["ALL"]}, "it has capabilities")
    need(pod.get("automountServiceAccountToken") is False, "it has a token that it does not need")
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    need(user and int(user[1]) == everyone["runAsUser"], "the image has another user")

    policy = found["NetworkPolicy", "smache"]["spec"]
    need(ports["gossip"] == ports["cluster"], "datagrams go to the number of the cluster port")
    allowed = {(port["protocol"], port["port"]) for rule in policy["ingress"] for port in rule["ports"]}
    need({("TCP", "cluster"), ("UDP", "gossip")} <= allowed, "NetworkPolicy: the nodes cannot gossip")
    for rule in policy["ingress"]:
        named = {port["port"] for port in rule["ports"]}
        need(named <= set(ports), "NetworkPolicy: no such port")
        if named & {"cluster", "gossip"}:
            peers = [peer["podSelector"]["matchLabels"] for peer in rule.get("from", [])]
            need(peers == [selectors["NetworkPolicy"]], "NetworkPolicy: others than the nodes reach the cluster port")


def check_kustomization(kustomization, files):
    """That it names every manifest but the example, and nothing else."""
    need(kustomization["kind"] == "Kustomization", "kustomization.yaml is something else")
    known = {"apiVersion", "kind", "resources", "labels", "images", "namespace"}
    need(set(kustomization) <= known, f"kustomization.yaml: unknown {set(kustomization) - known}")
    expected = {path.name for path in files} - {"secret.example.yaml"}
    need(set(kustomization["resources"]) == expected, "kustomization.yaml does not name the manifests that there are")


def must_refuse(check, subject, change, why):
    """Breaks a copy of `subject` and expects `check` to notice."""
    broken = copy.deepcopy(subject)
    change(broken)
    try:
        check(broken)
    except Wrong:
        return
    raise Wrong(f"the check itself is broken: it let pass {why}")


def check_the_checks(documents):
    """Breaks the manifests in several ways."""
    (stateful,) = [d for d in documents if d["kind"] == "StatefulSet"]
    must_refuse(check_schema, stateful, lambda d: d["spec"].update(replica=3), "an unknown field")
    must_refuse(check_schema, stateful, lambda d: d["spec"].update(replicas="three"), "a word for a number")
    must_refuse(check_schema, stateful, lambda d: d.update(apiVersion="apps/v1beta1"), "a version that is gone")
    must_refuse(check_schema, stateful, lambda d: d["spec"].pop("selector"), "a missing selector")

    def pod(all_documents):
        return next(d for d in all_documents if d["kind"] == "StatefulSet")["spec"]["template"]

    for change, why in [
        (lambda d: pod(d)["metadata"]["labels"].clear(), "pods that nothing selects"),
        (lambda d: pod(d)["spec"].update(terminationGracePeriodSeconds=30), "too short a grace period"),
        (lambda d: pod(d)["spec"].update(enableServiceLinks=True), "service links"),
        (lambda d: pod(d)["spec"]["containers"][0]["ports"].pop(), "a port that is gone"),
        (lambda d: pod(d)["spec"]["containers"][0]["env"].reverse(), "variables used before they are set"),
        (lambda d: d.pop(), "a manifest that is gone"),
    ]:
        must_refuse(check_together, documents, change, why)


def main():
    files = sorted(path for path in KOMPOSE.glob("*.yaml") if path.name != "kustomization.yaml")
    documents = [document for path in files for document in read(path)]
    for document in documents:
        check_schema(document)
    check_together(documents)
    (kustomization,) = read(KOMPOSE / "kustomization.yaml")
    check_kustomization(kustomization, files)
    check_the_checks(documents)
    print(f"manifests: {len(documents)} objects valid for Kubernetes {', '.join(RELEASES)}, and consistent")


if __name__ == "__main__":
    try:
        main()
    except Wrong as error:
        sys.exit(f"manifests: {error}")
