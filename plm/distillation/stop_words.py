"""Words that augmentation leaves alone: they carry grammar, not content, and other words in their place make nonsense.

Contractions are not listed: whoever looks for words passes over what hangs on an apostrophe.
"""

from __future__ import annotations

_ENGLISH = """
    a an the this that these those such
    i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
    we us our ours ourselves they them their theirs themselves one oneself
    who whom whose which what when where why how whether
    and or but nor so yet if because as while until unless since although though than then else
    of at by for with about against between into through during before after above below to from up down in out on off
    over under upon within without toward towards among along across behind beside besides near per via
    am is are was were be been being do does did doing done have has had having
    can could shall should will would may might must ought cannot
    no not none never neither either both each every all any some few many much more most less least other another
    own same only just very too again further once here there now also even still ever
    ll re ve don didn doesn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn mustn needn shan ain ma
"""

# Characters, and the words made of them that a segmenter finds.
_CHINESE = """
    的 地 得 了 着 过 吗 呢 吧 啊 呀 嘛 么 们 之 其 所 者
    我 你 您 他 她 它 咱 自己 我们 你们 他们 她们 它们 咱们 大家
    这 那 哪 这个 那个 这些 那些 这里 那里 哪里 这样 那样 这么 那么 此 某 每 各
    谁 什么 怎么 怎样 为什么 多少 几
    是 有 在 不 没 没有 无 非 未 别 也 都 就 才 又 再 还 很 太 更 最 只 已 已经 正在 将 会 能 能够 可以 可 应 应该 要
    和 与 或 或者 及 以及 但 但是 而 而且 并 并且 因 因为 所以 如果 若 虽然 即使 则 然后 于是 不过 只是 就是
    把 被 让 给 对 对于 关于 从 到 向 往 由 于 以 为 为了 按 按照 跟 同 比 用
    上 下 里 中 内 外 前 后 间 个 一 一个 一些 些 等
"""

ENGLISH: frozenset[str] = frozenset(_ENGLISH.split())
CHINESE: frozenset[str] = frozenset(_CHINESE.split())
