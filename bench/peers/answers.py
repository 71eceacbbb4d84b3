"""Verdicts of Math-Verify and of lm-evaluation-harness' MATH matcher on cases of answers.

python bench/peers/answers.py FILE…   (see bench/peers/answers.txt for the versions)
"""
import importlib.util, json, pathlib, statistics, sys, time
import lm_eval
from math_verify import parse, verify
import logging
logging.disable(logging.CRITICAL)

path = pathlib.Path(lm_eval.__file__).parent / "tasks/hendrycks_math/utils.py"
sys.modules.setdefault("datasets", type(sys)("datasets"))
source = path.read_text().replace("import datasets", "")
utils = type(sys)("utils")
utils.datasets = type(sys)("d"); utils.datasets.Dataset = object
exec(compile(source, str(path), "exec"), utils.__dict__)

def harness(answer, reply):
    box = utils.last_boxed_only_string(reply)
    given = utils.remove_boxed(box) if box else reply
    return bool(utils.is_equiv(given, answer))

def mathverify(answer, reply):
    gold = parse(answer if "$" in answer or "boxed" in answer else f"${answer}$") or parse(answer)
    return bool(verify(gold, parse(reply)))

cases = [json.loads(l) for f in sys.argv[1:] for l in open(f, encoding="utf8") if l.strip()]
out = {}
for name, judge in (("math-verify", mathverify), ("lm-evaluation-harness", harness)):
    times, false_equal, false_different = [], 0, 0
    for c in cases:
        start = time.process_time()
        try:
            got = judge(c["answer"], c["reply"])
        except Exception:
            got = False
        times.append(time.process_time() - start)
        false_equal += got and not c["right"]
        false_different += (not got) and c["right"]
    out[name] = dict(falseEqual=false_equal, falseDifferent=false_different,
                     medianMicroseconds=round(statistics.median(times) * 1e6), worstMilliseconds=round(max(times) * 1e3, 1))
print(json.dumps(out))
