// The words of the interface. What the server says (replies, explanations, titles) is never translated here.

/** @typedef {"en"|"zh"} Language */

const ENGLISH = {
  conversation: "Conversation",
  message: "Your message",
  message_hint: "What would you like?",
  send: "Send",
  keys: "Enter sends · / moves here",
  undo: "Undo",
  reset: "Start over",
  undo_turn: "undo",
  reset_turn: "reset",
  yes: "Yes",
  no: "No",
  yes_turn: "yes",
  no_turn: "no",
  theme: "Light or dark",
  catalogue: "{items} {nouns}",
  panel: "What counts for the list",
  panel_open: "Show what counts for the list",
  panel_close: "Close",
  user: "You are",
  nobody: "nobody",
  wishes: "Wishes",
  filters: "Filters",
  exclude: "Left out",
  context: "Situation",
  events: "Said of items",
  none: "none yet",
  any: "any",
  remove: "Remove {what}",
  add_filter: "Add a filter",
  filter_hint: "year >= 1990",
  made_by: "{name} {version} · {model}",
  no_model: "no language model",
  welcome: "What are you in the mood for?",
  welcome_more: "Say it in your own words. Every list tells why, and anything can be taken back.",
  list: "Your list",
  list_empty: "Nothing left to show. Remove a filter or an exclusion.",
  list_new: "The list is up to date.",
  explaining: "Finding the reasons",
  score: "Share of the choice among all candidates: {share}",
  like: "Like",
  dislike: "Dislike",
  not_now: "Not that one",
  seen: "Seen",
  more_like: "More like this",
  why: "Why",
  act_on: "{act}: {title}",
  no_reason: "No single reason stands out.",
  evidence: "How far each piece moves this item up or down (log-odds)",
  history: "History",
  fact: "Fact",
  wish: "Wish",
  checked: "Every statement checked",
  unchecked: "Not checked",
  by_llm: "worded by the language model",
  by_template: "worded from a template",
  degraded: "Answered in a simpler way: {reason}",
  thinking: "Looking",
  unreachable: "The server cannot be reached.",
  again_hint: "Check the connection and try again.",
  failed: "That did not work (status {status}).",
  cut_off: "The answer broke off.",
  key_title: "This server wants an API key",
  key: "API key",
  key_use: "Use it",
  cancel: "Cancel",
};

/** @type {typeof ENGLISH} */
const CHINESE = {
  conversation: "对话",
  message: "你的消息",
  message_hint: "想要点什么？",
  send: "发送",
  keys: "回车发送 · 按 / 回到这里",
  undo: "撤销",
  reset: "重新开始",
  undo_turn: "撤销",
  reset_turn: "重新开始",
  yes: "是",
  no: "不",
  yes_turn: "是",
  no_turn: "不用",
  theme: "浅色或深色",
  catalogue: "共 {items} 项",
  panel: "影响列表的内容",
  panel_open: "查看影响列表的内容",
  panel_close: "关闭",
  user: "你是",
  nobody: "匿名",
  wishes: "愿望",
  filters: "条件",
  exclude: "排除",
  context: "情境",
  events: "评价过的",
  none: "暂无",
  any: "不限",
  remove: "去掉 {what}",
  add_filter: "添加条件",
  filter_hint: "year >= 1990",
  made_by: "{name} {version} · {model}",
  no_model: "未使用语言模型",
  welcome: "现在想要点什么？",
  welcome_more: "用你自己的话说就好。每份列表都有理由，说过的随时可以撤回。",
  list: "你的列表",
  list_empty: "没有可以推荐的了，可以去掉一个条件或排除项。",
  list_new: "列表已更新。",
  explaining: "正在整理理由",
  score: "在所有候选中所占的份额：{share}",
  like: "喜欢",
  dislike: "不喜欢",
  not_now: "不要这个",
  seen: "看过",
  more_like: "多来点这样的",
  why: "理由",
  act_on: "{act}：{title}",
  no_reason: "没有特别突出的理由。",
  evidence: "每条依据让它上升或下降多少（对数几率）",
  history: "历史",
  fact: "资料",
  wish: "愿望",
  checked: "每句话都已核对",
  unchecked: "未核对",
  by_llm: "由语言模型措辞",
  by_template: "由模板措辞",
  degraded: "这次用了较简单的方式回答：{reason}",
  thinking: "正在查找",
  unreachable: "连接不上服务器。",
  again_hint: "请检查网络后再试。",
  failed: "没有成功（状态 {status}）。",
  cut_off: "回答中断了。",
  key_title: "这个服务器需要 API 密钥",
  key: "API 密钥",
  key_use: "使用",
  cancel: "取消",
};

const WORDS = { en: ENGLISH, zh: CHINESE };

/** Chinese names of situation fields and their values; others are shown as the server names them. */
const SITUATIONS = {
  place: "地点", device: "设备", company: "同伴", mood: "心情", weather: "天气", activity: "活动",
  weekday: "星期", day_type: "日子", part_of_day: "时段", time: "时间", occasion: "场合", season: "季节",
  home: "家里", cinema: "影院", outdoors: "户外", travel: "旅途", train: "火车", plane: "飞机", hotel: "酒店",
  "friend's house": "朋友家", "public place": "公共场所", work: "公司", school: "学校", car: "车里", cafe: "咖啡馆",
  gym: "健身房", tv: "电视", phone: "手机", tablet: "平板", computer: "电脑", projector: "投影",
  headphones: "耳机", speaker: "音箱", alone: "独自一人", partner: "伴侣", family: "家人", kids: "孩子",
  parents: "父母", friends: "朋友", colleagues: "同事", happy: "愉快", sad: "低落", relaxed: "放松",
  stressed: "有压力", romantic: "浪漫", bored: "无聊", energetic: "精力充沛", tired: "疲惫", nostalgic: "怀旧",
  angry: "生气", lonely: "孤独", sunny: "晴天", rainy: "下雨", snowy: "下雪", cloudy: "多云", stormy: "暴风雨",
  hot: "天热", cold: "天冷", relaxing: "休息", eating: "吃饭", cooking: "做饭", travelling: "旅行",
  commuting: "通勤", exercising: "锻炼", party: "聚会", sleeping: "睡前", studying: "学习", working: "工作",
  driving: "开车", cleaning: "打扫", monday: "周一", tuesday: "周二", wednesday: "周三", thursday: "周四",
  friday: "周五", saturday: "周六", sunday: "周日", weekend: "周末", workday: "工作日", holiday: "节假日",
  morning: "早上", afternoon: "下午", evening: "晚上", night: "深夜",
};

const SUGGESTIONS = {
  en: {
    films: ["something funny from the nineties", "more like Alien, but no horror", "a quiet drama for a rainy Sunday"],
    products: ["a present for my mother, under $50", "something small, not too dear", "surprise me"],
    other: ["something new, for tonight", "something like what I chose last", "surprise me"],
  },
  zh: {
    films: ["来点九十年代的搞笑片", "像 Alien 那样的，但不要恐怖片", "下雨的周日，想看安静的剧情片"],
    products: ["送妈妈的礼物，50 块以内", "来点小巧的，别太贵", "随便推荐几个"],
    other: ["今晚想来点新鲜的", "像我上次选的那样的", "随便推荐几个"],
  },
};

/** @type {Language} */
let language = "en";

/** @returns {Language} */
export const spoken = () => language;

/** @param {Language} chosen */
export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  translate(document);
}

/**
 * @param {string} key
 * @param {Record<string, string|number>} [values] for the {places} of the words
 * @returns {string}
 */
export function say(key, values = {}) {
  const words = WORDS[language][/** @type {keyof typeof ENGLISH} */ (key)] ?? key;
  return words.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/**
 * Things to say first.
 * @param {string} domain "" while it is not known: there is nothing to suggest
 * @returns {string[]}
 */
export function suggestions(domain) {
  if (!domain) return [];
  const known = SUGGESTIONS[language];
  return known[/** @type {keyof typeof known} */ (domain)] ?? known.other;
}

/**
 * The name of a situation field or value: "part_of_day" is "part of day" or 时段.
 * @param {string} name
 */
export function situation(name) {
  const plain = name.replaceAll("_", " ");
  return language === "zh" ? SITUATIONS[/** @type {keyof typeof SITUATIONS} */ (name.toLowerCase())] ?? plain : plain;
}

/**
 * @param {number} share
 */
export const percent = (share) =>
  share.toLocaleString(language, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 });

/**
 * Give an element words that follow a change of language, as its text, its label or its hint.
 * @template {HTMLElement} E
 * @param {E} element
 * @param {string} key
 * @param {Record<string, string|number>} [values]
 * @param {"say"|"sayLabel"|"sayHint"} [as]
 * @returns {E}
 */
export function put(element, key, values, as = "say") {
  element.dataset[as] = key;
  if (values) element.dataset.values = JSON.stringify(values);
  word(element);
  return element;
}

/** @param {HTMLElement} element */
function word(element) {
  const { say: text, sayLabel: label, sayHint: hint, values } = element.dataset;
  const filled = values && JSON.parse(values);
  if (text) element.textContent = say(text, filled);
  if (hint) element.setAttribute("placeholder", say(hint, filled));
  if (!label) return;
  const words = say(label, filled && { ...filled, ...(filled.act && { act: say(filled.act) }) });
  element.setAttribute("aria-label", words);
  if (element.tagName === "BUTTON") element.title = filled?.act ? say(filled.act) : words;
}

/** @param {ParentNode} root */
function translate(root) {
  for (const element of root.querySelectorAll("[data-say], [data-say-label], [data-say-hint]")) {
    word(/** @type {HTMLElement} */ (element));
  }
}
