"""Fixed seeds: nodes that ran for long, for a node that nobody else can tell of any (Core: ``chainparamsseeds.h``).

They are the last resort. A list ages from the day it is drawn, and who could choose it could choose our first peers. So
they are few, of all five networks, and of IPv4 and IPv6 one in a netgroup and an autonomous system. When they are
added is decided in ``ccnode.peers.bootstrap``. A port that is not written is the chain's own.

Drawn by ``tools/fixed_seeds.py`` from the lists in Bitcoin Core's ``contrib/seeds`` of February 2026; to refresh them,
run it on newer ones.
"""


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MAINNET = _addresses(
    """
2.121.116.198 5.183.173.201 23.182.128.72 24.243.114.119 37.15.61.236 38.86.135.160 45.94.168.5 46.229.165.147
50.115.188.236 62.80.166.146 64.34.84.37 66.163.223.67 69.36.52.44 72.255.188.46 74.50.72.174 77.38.72.37
79.205.255.234 82.96.96.40 84.46.117.176 85.219.56.128 91.125.172.33 93.103.13.1 99.247.63.171 104.223.21.214
118.24.37.253 133.130.102.233 141.105.125.196 148.51.196.40 160.2.132.64 162.253.155.243 172.252.71.124 176.74.136.237
181.205.6.149 185.88.248.162 185.223.30.131 190.203.111.221 195.181.193.251 204.111.88.33 208.38.246.227
212.227.150.147
2001:1284:f502:9104:419d:b3ea:216:61eb 2001:1ab0:7e1e:d150:be24:11ff:fe2c:302f 2001:4dd0:3564:0:30b7:1d7b:6fec:4c5c
2001:861:3400:2e20:be24:11ff:fe57:eec7 2001:bc8:1201:715:ca1f:66ff:fec9:5ff0 2400:8a20:112:6::2
2405:d000:100f:1000:365a:60ff:fe3f:3951 2407:8800:bc61:2202:67f5:1401:54a7:1538 2600:1900:4010:b0:0:1::
2601:41:c200:bf0b:92b1:1cff:fe96:b198 2602:f687:1:c5ab:dc5e:90ff:fe18:1d08 2604:a00:2df0:5:dae1:14f3:40a5:78b3
2606:8240:8113:fc92:c5ce:43e3:dd73:71c5 2800:150:11d:645:28ae:91e2:344d:b107 2806:103e:1b:4647:a37e:f71a:8b6c:f6d2
2a00:15c0:300a:100::1 2a00:8a60:e012:a00::9001 2a01:261:21c:ad00:ed34:c85:3391:d694
2a02:1210:2441:e500:bb72:9793:7fb0:ffb2 2a02:3102:a130:26e0:eaf3:1128:359f:5d2d 2a02:a457:1a1b:f4::10:33
2a03:ec0:0:928::701:701 2a09:2681:1001::23 2a0d:8144:0:117::cafe 2a10:9300:520:100::161
2boy2eupcrkymvf456swszxglxgckeoasshdasbgp4kt6jobovnmb5ad.onion
3rx7ekxlz7win4wke62j5sk6pxft6w7aycazbfxhixgqvku5cbxc22id.onion
4rw4wtyzql7l4ifnvae3jgxza3pfg5izae6olk5jrgyh77cmgsljjiyd.onion
5uds67fzzk2q26erca6d6giyy4uzwj4un6nrk5nj3s4a3krau3cpulyd.onion
75kojazxezckxt7m5muiuhkipb6ujwku6jnyuuhtyustq7vhk46owbyd.onion
apmia3dbg4z5kfl55g2o2iipejbbtkrw2ibr6ujdljczcubnqq3j6pqd.onion
ch7qv2xvg657bz3wvscm6vo7l6tybgtpguybpm2r4zksgterqt254uqd.onion
dougxotkmhnt25zoyfpq6lusppbmhkasjsus4obtvplcxbkudubjivqd.onion
exhnj33rwfict377cprss3n443febg6kpcs3hi5t4wctulfpkpi4boqd.onion
gnemhi5n7w24jucssi22bsl75wclwnprsf7edhl2tx4nu4yq5b4a4cqd.onion
hxdiznfsgs6rwoxvkoj5np7xqkea3cyx4sueg3veeqqq7devwbpz34yd.onion
juap42d47h4al53zsyysavhtgypeuya7myedsgq7evma7s623vsgt4ad.onion
kv5y4ktqw74itis4bevim34fjbgxjbzd4qyr6e65owklefeni6wp5sid.onion
lsxa3sgjdufl6aa3zhlhtkzizdl3ti54cf7f46ojlwv6drizl3w4phid.onion
n56w3dulod6mtfhit2jufyhyynfiqrp5dfnlpintbg4ptpfj2rlf33id.onion
ofdj5sozmtawczbir42zkf5bzcjwquuftoeii6bknbh3ackpre2vagyd.onion
pln25js5g4vd4zboytjxdet3xfpadsvx3wh4pcvbcxqfpu53h22mc4ad.onion
qvrhka6tupggu7alh6irjplg5yv2dlvwl3jpko552nl2q34mnivlezad.onion
s3vfmjosdcn26t7w3qawhspgn5rsf7dvb7kmuwrj275d2f2qrcnbynad.onion
t5r35bnbdfam3va4w5p2gy4tmk27cdkd6yfyiufvelxlt7hwxl5kqaid.onion
u2t3wm6qeivpsglk5ejk2mlmnykofv6nh7rslr3xhbtmeeuywefoosqd.onion
vf6365t4ftyebzjxibo3pbh46fxemxj3nr4x2ehpqihx7kgev2zxeiid.onion
x22qnk2zgro2ymrbblbr53qnr65ckg4atma2i4uid5comob332fxenqd.onion
xogn4krs3iklbqdvrbztkmsxbyxyq4gncdosrudiwblob5qf33zpsvad.onion
yvnxxe3ghte7lsz77izb5uygzgi7fyijhqfhvdzjhzkgakr5tkqydrqd.onion
22pis7zmm4r466tciqekpwjwzf2qi3a536bow7k5tu5kxgmbvrkq.b32.i2p
4443aa3oendla6crb3scqqvaod5izmeljvk4kz55vg3lnrntfu4a.b32.i2p
6pxsoyh467crb7gipvphd63zsvhcbyc6rkci5q33gcwx7boj4njq.b32.i2p
aoop5n4khqbob6fvc2nxyyoleenefrykudtrbtjsh3acsqjjkdqa.b32.i2p
cuqskmhnvxk3ugeb6s3iy2hzd2xtf2uhkmtia4m52w2xgfg3ji7a.b32.i2p
fluicx56y5kovkchz5lnehg4nb7aa6og372btdls4lj2a3psehga.b32.i2p
hwbx5ihd7osqjiqpvsph2em7zzyb3fpsxkruyv4qnefrpul2ct2a.b32.i2p
kbawcieyelwwitrjow537zpmdkncwiq42rhjgayw5o7u562mk23a.b32.i2p
mfbtztzkc3t542n4umpfns3bgog4nexxf4nuzrcj5pan5uvbgc7a.b32.i2p
oiusghp3k343ofsyw2ym6iejviznukx5lrhafxzdasmjky24ixba.b32.i2p
qhi33hvcrl6hn4uhipih42sezezqxcxpenz27bbboxtwllplxtta.b32.i2p
sp6jw2b6jeots3zckalaczbmpywkn2jfoj6gxvbzezblmtj62sza.b32.i2p
u635477uxqs7z4uvwx224u6ojn3c3ewcb66f3j7qlbzqyrrevxja.b32.i2p
voej5nrurkigwwzwgcxnsxu56l4yvwodnkbn7fvtylyi4mtuieaa.b32.i2p
ycez7bbakc5mb3lumgm3ib2qxu26sf3htuxsaexim7qt7h2fmcoa.b32.i2p
fc11:f769:16e6:3611:58ae:1d4a:fcf7:57a4 fc17:4369:5414:4b1f:5689:d3ed:4039:335c
fc1f:22c3:95dc:a3af:4a93:8251:beb9:1858 fc34:e655:39da:169f:adcd:b1e8:534:3920 fc55:6715:db3d:3f44:ec62:ea3d:ada9:cccb
fc57:be98:b90c:89a2:6807:69a0:827:947e fc5c:b3fc:84b4:1c7f:a5d8:4a91:dea5:3e19 fc71:12bd:f5e7:71b1:5b4e:4e3:6228:ac0
fc95:6edb:af65:9ea3:cd27:21ef:f5e2:29c6 fca0:151:79ac:8992:b51e:bdc4:6ed9:41be
"""
)

TESTNET3 = _addresses(
    """
18.118.231.3 23.227.223.209 24.160.99.9 35.210.184.94 45.50.223.112 45.55.132.91 45.82.64.163 51.75.147.82
62.210.207.63 65.21.33.227 75.119.158.18 80.90.32.185 80.253.94.252 82.181.27.200 89.58.9.219 91.123.182.164
92.115.99.159 95.141.35.117 95.213.143.91 121.45.34.75 124.236.16.91 129.226.198.211 135.180.99.74 141.98.219.198
142.234.33.228 143.92.61.230 150.136.77.157 156.155.48.99 160.80.11.66 172.173.81.233 176.96.231.180 178.21.118.82
178.162.218.121 185.107.68.135 185.210.125.33 188.213.90.149 194.95.66.129 203.132.94.196 206.204.104.7 208.68.4.50
2001:41d0:700:544c:: 2001:5a8:4164:7a00::1f8 2001:b07:6469:3491:56be:f7ff:fe26:21bb
2401:d002:3902:700:8708:37c4:e231:d3d8 2602:f480:ac:c010::50 2603:301f:301:7000:2d5a:9709:3277:3d4e
2605:3380:422e:1::50 2605:4840:3:2c23::1 2804:431:e038:cd01:aaa1:59ff:fe0d:44b8 2806:2f0:5681:f191:4049:ef30:5956:b8e3
2a01:4f8:190:4026::2 2a02:29e0:1:420::64 2a02:c206:2075:3352::1 2a03:4000:2a:514::
2lsncqdflwk272dhydrxf7ikfy23ppnmm54dnynyxiym6lqf3wowrmqd.onion
3dt6kgfrilc3nwliwy5wbmc6oa2b5y3t33nkxlrxrkunr2hoaj56kgyd.onion
3ya4bo256hdws7wweyc4z7hpldsli5ra7vvdjkbh3p4yerd6b5vvr7ad.onion
6bhop3n32rreiynu35epznhc2exxkhuleromdhnida2hgmu2bhczgmqd.onion
aesy6tfufadkut6flu2bsqgnw2422ur2ynjalguxlzuzuktg3zehttqd.onion
bizdwmm7naqq5pehkbfggznqtena5eodz3kprvsbj4nkkax4fvxx53id.onion
devwork6shguhs6miygeq7qpyszu2lizeyop33sbrey7hk53jw26hnad.onion
fl5wdp4jleymf2efplmos6hbj7py7nvwaps2yzfa6sfhvk6e7bd4umid.onion
gsw6sn27quwf6u3swgra6o7lrp5qau6kt3ymuyoxgkth6wntzm2bjwyd.onion
gwtx5qluopwaxjhedlifnr6pptw2eihojzhq3stnv2gfbvqbgqdhi5qd.onion
iradeaffnpqfhkuo4rqbq5dgdazymxyjifeb6jz4yq7rgqhnsflfhzqd.onion
jtvqgaccxbtzshtulk5xlsb4wkoil3psmpn5avqyp2i5vm4hqh5cicyd.onion
lh3wfz2n7xe2muwdjrz5vgnjwjx7lc6iifojhr2rh53ojkwo5dr66uyd.onion
lwfecq35ocqjfbdq4h2qmcwl3cfcyiyycxtvrz36ihdbuczehi3bmrad.onion
nkqgfcw3esmr2nbflt5h4zhfhrzqh2txoh2crq6cyq3as5dra7m4vkyd.onion
o4fnldblck6fmycg55lh77owlw7wihb7qltjibantj45ijhow73otdad.onion
ppe2pepzphox3swftj5lbyi7ckigspbih5qnyuhrb3r6bn3g7k7bp4qd.onion
qiep4hvuovedbbc36hl7nwslwi6ah6uw4nnseyjdtc73cc5rfdauvnad.onion
t5pvdtzutdegthjxvnhlqnnuurdrktz7vb3m45sisvrjmixxrbsrjfad.onion
urhagmjceyqbzhjitpa7j7mygivxw3wlwqzkibw6zezrxeantkikgcyd.onion
vi3z4khdvopuiljdjdhpetnxztuzsct2aacuzcm5ba27h4j3cfwsvjad.onion
wqx56diehvnwca6mndqw3omsufbiem3o6lwivauiilxfx5iqsv7emfad.onion
y4blifygwjgepjmnr6wlbqpgies4c2bdudifcfbplqnbjwzs2zrdnvyd.onion
ya6s7ov7myixz3ql23u45hty7moxo3r4d26qainw55z656vtau676xid.onion
zefnna2a3ga4ez2nutvypma7my35prw3ycinbqwva7v4pf3aurqhjcyd.onion
hedmbfis4h4inqrwo2uzmku5xu6xaq74tg7sofnetqikdvndtvja.b32.i2p
ica24vnstxip7gkr3c6dlmqgw4opmfrvv3dppjds7a3uddurpmxa.b32.i2p
nhla3xzibmhvav7meemluh2d2jxdrlwicq636a2sohwqhrfgqi4a.b32.i2p
o6j3b33bv26vthoqzjy3h7a3qsuqbtbe3ulajmjzsl43vaqyieyq.b32.i2p
xgctj4seo3ofstiymoyeuzq74bvddrbr6jtia6erodlf5va3cz5a.b32.i2p
xy6ytjxel5ku4naqumj4f6hn4agrzh3w44gqcs6xkkzwm5s3jdgq.b32.i2p
zakpo2angzhk3w32dwtcbx4rt7cpw6adx3cs4helfqe3rlqn7vnq.b32.i2p
zklt7hncdrl2hupfwnlbt3qaayhjayjhvwvj2m3fok3z36tlnxhq.b32.i2p
fc1f:22c3:95dc:a3af:4a93:8251:beb9:1858
"""
)

TESTNET4 = _addresses(
    """
2.59.134.244 2.110.106.102 5.182.4.106 31.220.30.248 34.232.194.104 35.201.167.154 45.41.204.8 45.50.223.112
45.94.168.5 51.158.61.33 54.76.27.166 62.84.190.200 67.81.240.18 67.213.127.87 69.26.129.172 71.13.92.62 71.183.49.199
74.133.9.162 82.67.102.15 89.58.9.219 94.183.188.204 95.141.35.117 96.79.5.26 103.99.169.203 103.165.192.201
103.232.248.31 104.237.131.138 109.123.236.96 121.98.22.147 142.160.218.208 144.172.110.246 148.51.196.40 158.69.118.2
162.220.166.82 174.177.47.73 181.174.165.116 203.51.4.72 203.132.94.196 208.68.4.50 217.31.57.128
2001:1ab0:7e1e:d150:be24:11ff:fe03:6b30 2001:5a8:4164:7a00::1f8 2001:8003:941b:ca00:f22f:74ff:fe1e:5b33
2001:9e8:69b:e00:900f:f2ff:fea3:bbcd 2001:b07:646f:c339:44d3:30b7:831b:da29 2001:bc8:1201:409:1618:77ff:fe5f:b12
2001:df6:7280::92:201 2401:b140:3::92:201 2401:d002:3902:700:a038:c772:884b:8a70 2405:e480:2:1a::2
2407:d000:a:88a:2b4:fce4:475e:5c1a 2600:3c00::f03c:91ff:fe5b:4cf3 2602:f480:ac:c010::50
2602:fea7:e0d:1004:5b11:81e0:8bdd:1 2604:2dc0:142:2100:: 2605:3380:422e:1::50 2605:6441:4001:1b:1270:fdff:fe18:63fa
2607:f130:0:ed:216:3cff:fe2c:b76b 2a00:23c8:9902:8e01:f586:f1e2:987e:1f10 2a01:4f8:121:4072::2
2a01:e0a:423:1220:240f:9f9:e7bd:f992 2a02:29e0:1:420::64 2a02:2f0a:5207:2d00:8f2:177d:eb7f:c1fc 2a02:c202:2234:7688::1
2a03:4000:2a:514::
24i3bbceydddhykco65oai2dmxirqtvwyom3kyxwzaxbldaog4filyyd.onion
2pzxsv4k5ovuew7kb635kigs5zexhlxyruuznmuctvjoo4f5idp6iaqd.onion
33ffm6iijgivx7xyg75isr5cd2thsqsx7c5hwab5pu3u774uwuipsdqd.onion
4uzerod2wrqtjuaea6vr43uddq2sg3cgfuk4khqotqsqdsxpwdmcphqd.onion
5fkz5ijh76cgfwvxz4pyl4br4hekqflijz7d467ldey3xme2trqrgjad.onion
6g6dwtby74ic2ggnzkbfqy7saslopho7or6z4uad737c2tq24fj3ltyd.onion
7jd422hqevrz334ax3fh77wzww7clnr4kpyos25oe64nifg623bjqfqd.onion
a3aej552sklp5nhrosr5wv7qylgkmnu5u7zh7se56vtllvhgctzkbjqd.onion
aqabn424rm7qq5faw2ecckkzxfdw57oncivjrurrrn5wgjdqjqxvxjad.onion
d2rh66gf4vj2gotzafe2janylf4bt2bzkvvzyvseapktetwxzi4ph6qd.onion
ebhtfcmjhilcqtuls437pxu65dznqkpt5qv3yeq6zipnqd7ichz5htyd.onion
f2tt2hdbqlbslvdlpworasoijtqfxlkkcabl2kbu7gptojc2synwq6qd.onion
gc66muikqqzxwj2tdvvap6gpcbitthjvscawgkclim4vgmajrccjtmqd.onion
havkohvjhg5tglbdecf4ufhz5es3f33ctj3b6loebj4pi6qrtjemfbyd.onion
i22efh4itlcfthvaavcz2rvigu4x6jqvlwuksz44bukslhg76bsgrxqd.onion
jspxdo33gyrh3tewi55mn2fo5spczzgipq6ao7fa5qu6fj2ezr7bizid.onion
ko55e2ityiaqeckthmnnbcv6bbwll7rtdiv527muoqdpg4hye2it2pyd.onion
pcc4e2b45imkhe4u2paufgkjz5fpo5ddqid2dt6abkqocorycizdeqad.onion
qmd5qvyhnanqj6wyf4klrvfqoypuz6xjajhx2n272vr5il7nlwyoosqd.onion
riyvgzynuzj2vx2az6a7kvca5bythmj6rgb4asrecdw6vfmvt33uxqid.onion
tntxk2oda33ov6ufvtsc6xfn2iqgcamiooyxbjggs3474c3pqcdzxbid.onion
vh72vs4kp4mf4c6dopdprfavuuuq56vgtltozx5qik7awvy335h7btqd.onion
w2ntcsbljn2tumnepracciw7kie333sqp4zvblcmin75mmkw6rj3kkqd.onion
x66at4pel4ody42wujl4upr2tbulbpn54nzvrk7gomzv4dwkhazfjdqd.onion
zdh7vrzykdv7474yioe5jiv3kgajky727t5phxsbt47lefjseo3ypaqd.onion
2o6clfldp42aegdjsgnhsvyqydqpltmek2k6yq5etw5bxm7kgrqa.b32.i2p
3dxginlmkptubogdcvqfxhdghw55s7ezzq5dv5wl2xkfdgaencwq.b32.i2p
7rn2pojst5aurdaes2qcwiigis55ewzjjhxfbxnua5calwuigxdq.b32.i2p
a7jpzmbtvn5qgvnxez2zc4nvabso4xmllbrqmuoavxz537ttbdtq.b32.i2p
augssnqnvo2w66vbrfzctc5rnhaxe3io7wnkvr5xp6wwkxmrggra.b32.i2p
et2yxusrbgfxq37zn7g2yf4fngoxrlc4kglzjj6pw2xgrtb42qvq.b32.i2p
f5736dnzv5uprze4l2xaicmf5x3l3d7iufojk5bwlzmupyftmh6a.b32.i2p
fxioeepsp4cobxbjwwmutah3owelkqqod65bxtg3w477z6lcdp5a.b32.i2p
gu4dbogblenyardwzilrh7habosvyc3wrhh3bi7arhoggoca5dqq.b32.i2p
kl4eszm3nxdsabfrndjvr7hts7pxctcyvdium5yy6hlrq2mvirya.b32.i2p
nl2qej33ywfqllz3exxce5jxmz35cnovhh6qobwvfc7igm2vdz2q.b32.i2p
osbhsb2losw5i25cjciotfamfo32uqxjsfnctcdshqdn6ob42gqq.b32.i2p
q376dmbdqpt4qgwf6za2ai7c4fs3va5tdmtb3ag6awk6wnv4mqcq.b32.i2p
uzhycdhi435pwobpqxhb3jrw5kjb3j2cf55sizv3yoldemfbn3na.b32.i2p
xokwtqtwbpkzl36as7tmlilmpbfrlzpz76q5ho2b24fevqmxqflq.b32.i2p
fc1f:22c3:95dc:a3af:4a93:8251:beb9:1858
"""
)

SIGNET = _addresses(
    """
34.135.189.101 34.254.97.244 35.217.13.118 37.120.177.204 38.83.170.18 44.192.76.239 45.94.168.5 49.13.117.253
50.21.167.167 50.39.245.228 51.79.229.113 62.169.29.181 69.62.125.171 71.222.12.41 82.65.129.71 88.209.210.230
95.141.35.117 109.94.97.143 109.134.172.160 121.74.232.175 129.226.149.150 135.180.99.74 136.144.237.250 144.2.120.107
144.24.238.157 148.51.196.40 152.42.244.27 153.126.143.201 172.105.179.233 172.245.246.15 175.110.114.74 185.9.0.189
195.137.245.93 208.68.4.50 217.216.75.182
2001:41d0:2005:100::c7c 2001:5a8:4164:7a00::1f8 2400:8907::f03c:92ff:fe6f:ee2b 2401:2500:102:3007:153:126:143:201
2401:4900:1c6a:810f:defd:48fa:3f41:256a 2408:8916:10:1091:f54a:da9c:f075:998a 2409:40d1:8:9ab1:9c8b:a9f2:4963:e28c
240e:38c:8a9a:4b00:396f:b817:d898:ba4d 2602:f480:ac:c010::50 2604:a880:4:1d0::352:6000 2605:3380:422e:1::50
2a00:11c0:47:1c1c:: 2a00:23c8:9902:8e01:6931:7afd:251e:94e7 2a01:4f8:13a:c56::2 2a01:7c8:d008:e9::3
2a01:f500:aaaa:2400::a 2a02:29e0:1:420::64 2a02:4780:28:9259::1
2uqd5pbaxn26o7fl7nqtm2khetqocislppxtxrpqg55wtbcqdrf2y5qd.onion
3qeedpzgciv65tdy2tsdmjxswhyep4aj65jtboznf5nnwcyo2lbmiyqd.onion
4jbenbcdlfoiauayz4bdpfueobo3klbjtmdkbnwojq2awhhl74ngbkad.onion
75ucqkuqndevjaqjnyfgyhzdfgcnknr6ki3skvkqjlxnrcfqc6wxqbad.onion
avbmlv2f7c6fp6iea5xxu4uexruhwx5i5syj2kucbtmnnhs6yr5s6ead.onion
bxc4ubehjtw4hl7yfz6erdok5z2h76s7f7jlx2amtzxil2fxxcm64byd.onion
ckbugjazj2iotosxah7odbxfozxivuk6zu5npf3iwfphvoh5brdjfqad.onion
e6xhvtrt2ppjfxckbinu7a4jxmy7usjnvjx6st2cipmvlnnhxg7krbid.onion
evesnuatxlbwi3soc3dq7ebxgpsn6apluntne4smlnuepdbax346f4qd.onion
gd4gyokpcnnqqodklhltjimcrhhmqj7otwlzrolw76aag4leqsyolxad.onion
immdwqfyz2hhcmxmyypstz7syq2cygaklr43mqjmqefnmtcyuspwkbad.onion
jnr2iysiyijy7u7uihytbjiq3b254g4i2eaaeod7w7pkrja6ukghx2qd.onion
k6z3aojwz2jngg5bumtf7qphcwvvve3idqol27s7slg2p3tp3yrbqsqd.onion
kpeo6tc2gix6bxt2bvcsum2g5z5ifgrvt64hatlxztogydyo4tj3pwad.onion
litqgemqmpesu6gi2ctd4ubrpxdn4mcm2t6p7xhkfxnkk7lzpdx75vyd.onion
n6tf5dfz25i4pprczevdkyo5bkpgfa3xigenn6skpjqqynbxpxzilfid.onion
o2fumu43ugk6xayo2nvadn7ohqlxharakt4flqh3hjgxdbwzrwignmyd.onion
pmjm644pzkp2khwixyis2c7mnfbte33bnmwxdx5lk6t6owvtmapdbhqd.onion
r4y5pqyvdzq3bzg2fqu46ql4a32fadkftwejtxzckeyohd7wvqnnwtqd.onion
tsq7clffbfe636zfszymheqgy6tyzbsjogad2qet7qeijua5c53ye6ad.onion
vs3q3aejwwz3ikm7sjtzx2czpipz7xhk7cgesh2g5xqqe6nclbcly2qd.onion
ww4jycomjwnf7jtrrrngeahokqkcl32iufmjzvvk272svieavabjyiqd.onion
xm4kxluodmeolmaugmaxnexnefrg3vsxnqo2ezu7rqmdct7i7xevcxad.onion
yjhagyj65xcxu6b5yktu6ntkwsyd5rhjlrsb7sexq5lzchatdqmoqnqd.onion
yov4edh4vgbgywplxuxv4esroksz2brb64fdtjbryc5wbo43wtlbsiad.onion
25g5trd4qasb2sbpkk5cvl256l6aiwcwjjqq7xso3ajvlgcvkpaq.b32.i2p
3cxteqanevzjd5iufktxxh3l5abj6fs6udqg3bomphzofqjl4aqa.b32.i2p
g7cudei24hjktz4thkjqj4cevbtjemkr5ba6picuzf2j5qfpfloq.b32.i2p
lxwk2it45ye2crdkonpshxpdotwzddvktl2foxrye5ik2gh2gcsa.b32.i2p
nmmoytmmcwq4aclmtrxk3askrv7mgy6l27uw67ozvyolwca2dr6a.b32.i2p
nvqlkzsr45qgoppbeurrve3rjgfm3yzqls7dsc5rzvbhsk4hmy3a.b32.i2p
qn7uwi6nx6tuakxvzhjnjeuxwpcq6wcv4diecrv63ugain2tdopa.b32.i2p
regl2o33xgkhnuu5ywr7tw72dio46j6tylz7zpdl6pfaqsktboea.b32.i2p
rkf5lugxqdjrxva2n5wl43okxrqmm6prlf7arci4bgg4md55oo2a.b32.i2p
fc1f:22c3:95dc:a3af:4a93:8251:beb9:1858
"""
)
